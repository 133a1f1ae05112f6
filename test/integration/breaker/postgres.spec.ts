import { Test, type TestingModule } from '@nestjs/testing';
import { QuotaModule, QuotaObserver, QuotaStore, StoreBreakers } from '@app/quota';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import { startPostgres, type PostgresServer } from '../../support';
import { measureOutage, type OutageFigures } from './outage';

/** What a load of a quota is given. */
const DEADLINE_MS = 400;

/** No answer comes later, but for the time that this process itself stood still. */
const LATEST_MS = 500;

let server: PostgresServer;
let dataSource: DataSource;
let app: TestingModule;
beforeAll(async () => {
  server = await startPostgres();
  dataSource = await createDataSource({
    databaseUrl: await server.createDatabase(),
    dataDir: 'unused',
  });
});
afterAll(async () => {
  await dataSource.destroy();
  await server.stop();
});
beforeEach(async () => {
  app = await Test.createTestingModule({
    imports: [QuotaModule.forRoot({ dataSource })],
  }).compile();
  await app.init();
});
afterEach(() => app.close());

function outage(begin: () => Promise<void>, end: () => Promise<void>): Promise<OutageFigures> {
  const quotas = app.get(QuotaStore);
  return measureOutage({
    observer: app.get(QuotaObserver),
    store: 'postgres',
    call: (n) => quotas.load(`t-${String(n % 50)}`),
    ...{ begin, end, lastsMs: 2_500 },
  });
}

it('is open within 250 ms of an immediate stop, and closed within 1 s of the start', async () => {
  const figures = await outage(
    () => server.kill('SIGQUIT'),
    () => server.restart(),
  );
  expect(figures.openAfterMs).toBeLessThanOrEqual(250);
  expect(figures.closedAfterMs).toBeLessThanOrEqual(1_000);
  expect(figures.p99WhileOpenMs).toBeLessThanOrEqual(10);
  expect(figures.slowestMs - figures.stallMs).toBeLessThanOrEqual(LATEST_MS);
});

it('opens when a paused server passes the deadline, and closes when it goes on', async () => {
  const figures = await outage(
    () => {
      server.pause();
      return Promise.resolve();
    },
    () => {
      server.resume();
      return Promise.resolve();
    },
  );
  expect(figures.openAfterMs).toBeLessThanOrEqual(DEADLINE_MS + 250);
  expect(figures.closedAfterMs).toBeLessThanOrEqual(1_000);
  expect(figures.p99WhileOpenMs).toBeLessThanOrEqual(10);
  expect(figures.slowestMs - figures.stallMs).toBeLessThanOrEqual(LATEST_MS);
});

it('leaves other tenants alone when the row of one is poisoned', async () => {
  const quotas = app.get(QuotaStore);
  await quotas.change('poisoned', { quotaMb: 5 }, { actor: 'test' });
  await quotas.change('healthy', { quotaMb: 5 }, { actor: 'test' });
  const mode = "UPDATE tenant_cache_quotas SET mode = 'absurd' WHERE tenant_id = 'poisoned'";
  const [check] = await dataSource.query<{ conname: string }[]>(
    "SELECT conname FROM pg_constraint WHERE pg_get_constraintdef(oid) LIKE '%mode%' AND contype = 'c'",
  );
  if (check !== undefined) {
    await dataSource.query(`ALTER TABLE tenant_cache_quotas DROP CONSTRAINT "${check.conname}"`);
  }
  await dataSource.query(mode);
  for (let i = 0; i < 10; i += 1) {
    await expect(quotas.load('poisoned')).rejects.toMatchObject({ contact: 'answered' });
  }
  await expect(quotas.load('healthy')).resolves.toMatchObject({ row: { quotaMb: 5 } });
  expect(app.get(StoreBreakers).states()).toEqual({ postgres: 'closed' });
});
