import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { DataSource } from 'typeorm';
import { withConnection } from '../../../libs/quota/src/adapters/postgres/session';
import { createDataSource } from '../../../src/database/data-source';
import { runStatement } from '../../../src/database/run-statement';
import { startPostgres, type PostgresServer } from '../../support';

const READY = Buffer.from('5a0000000549', 'hex');

/** `FATAL 57P01`, as a server sends it that shuts down. */
function goodbye(): Buffer {
  const fields = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0');
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}

/** Found by the chaos run, seed 41: the process ended by an error that nobody listened to. */
describe('a server that says goodbye in the packet of its greeting', () => {
  let postgres: PostgresServer;
  let proxy: Server;
  let url: string;
  /** New connections are ended so. */
  let leaving = false;

  beforeAll(async () => {
    postgres = await startPostgres();
    proxy = createServer((near) => {
      const far = connect(postgres.port, '127.0.0.1');
      const end = (): void => {
        near.destroy();
        far.destroy();
      };
      near.on('error', end).on('close', end).pipe(far);
      far.on('error', end).on('close', end);
      far.on('data', (data) => {
        if (leaving && data.includes(READY)) near.end(Buffer.concat([data, goodbye()]));
        else near.write(data);
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = new URL(postgres.url);
    address.port = String((proxy.address() as AddressInfo).port);
    url = address.href;
  }, 60_000);

  afterEach(() => {
    leaving = false;
  });

  afterAll(async () => {
    proxy.close();
    await postgres.stop();
  });

  it('fails one statement of the service, and nothing else', async () => {
    const database = await createDataSource({ databaseUrl: url, dataDir: 'unused' });
    await meets(database, () =>
      runStatement(database, { text: 'SELECT 1', values: [], deadlineMs: 5_000 }),
    );
  });

  it('fails one statement of the library, whoever made the pool', async () => {
    const database = new DataSource({ type: 'postgres', url });
    await database.initialize();
    await meets(database, () =>
      withConnection(database, 'test', (session) => session.query('SELECT 1')),
    );
  });

  /** With the connections there are in use, so that a new one is made. */
  async function meets(database: DataSource, statement: () => Promise<unknown>): Promise<void> {
    try {
      await statement();
      const busy = database.query('SELECT pg_sleep(1)');
      leaving = true;
      await expect(statement()).rejects.toThrow();
      leaving = false;
      await busy;
      await statement();
    } finally {
      await database.destroy();
    }
  }
});
