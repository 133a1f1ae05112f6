import { QuotaChecker } from '@app/quota';
import type { DataSource } from 'typeorm';
import { CacheStore } from '../../../src/cache/cache-store';
import { PostgresEntryRepository } from '../../../src/cache/postgres-entry-repository';
import { createDataSource } from '../../../src/database/data-source';
import { Random } from '../../chaos/prng';
import { Service, Tenant } from '../../e2e/support/service';
import { Servers } from '../../e2e/support/stacks';
import { waitUntil } from '../../support';

/** Writes and removals at once, of few keys, so that they meet; each instance has half of them. */
const WORKERS = 16;
const KEYS = 12;
const LIVES = 12;
const SEEDS = process.env['SEEDS']?.split(',').map(Number) ?? [1, 2, 3];

let servers: Servers;
let database: DataSource;
let services: Service[];

beforeAll(async () => {
  servers = await Servers.start();
  const settings = await servers.settings({ adapter: 'express', stores: 'postgres' });
  services = await Promise.all([Service.start(settings), Service.start(settings)]);
  const databaseUrl = String(settings['DATABASE_URL']);
  database = await createDataSource({ databaseUrl, dataDir: 'unused' });
}, 60_000);

afterAll(async () => {
  await Promise.all(services.map((service) => service.stop()));
  await database.destroy();
  await servers.stop();
}, 60_000);

/** What is really there, asked of the database and nobody else. */
async function stored(tenant: Tenant): Promise<number> {
  const [row] = await database.query<{ live: string }[]>(
    `SELECT coalesce(sum(octet_length(body)), 0) AS live FROM cache_entries
     WHERE tenant_id = $1 AND NOT deleted`,
    [tenant.id],
  );
  return Number(row?.live);
}

describe('the purge of a deleted tenant', () => {
  it('takes a write of the next life with it, and its charge, though its commit comes later', async () => {
    const { app } = services[0]!;
    const { id } = await services[0]!.tenant({ quotaMb: 1 });
    const [store, checker] = [app.get(CacheStore), app.get(QuotaChecker)];
    const entries = app.get(PostgresEntryRepository);
    const stage = async (key: string) => {
      const verdict = await checker.reserve({ tenant: id, key, bytes: 500 });
      if (!verdict.admitted) throw new Error('Refused.');
      const { version } = await entries.put(id, key, Buffer.alloc(500), 'text/plain');
      return () => verdict.reservation.commit(500, { version });
    };
    await (
      await stage('before')
    )();
    const commit = await stage('after');
    await store.purge(id);
    expect(await commit()).toMatchObject({ outcome: 'committed' });
    expect(await stored(new Tenant(services[0]!, id))).toBe(0);
    expect(await checker.status(id)).toMatchObject({ usedBytes: 0 });
  });
});

describe('a tenant that is deleted and made anew under load', () => {
  it.each(SEEDS)(
    'is counted to the byte when it is quiet, seed %p',
    async (seed) => {
      const random = new Random(seed);
      const tenant = await services[0]!.tenant({ quotaMb: 1 });
      const ended = new AbortController();
      const statuses = new Map<number, number>();
      const work = async (n: number): Promise<void> => {
        const at = tenant.at(services[n % 2]!);
        while (!ended.signal.aborted) {
          const key = `k-${random.int(1, KEYS)}`;
          const given = random.chance(0.2)
            ? await at.delete(key)
            : await at.put(key, random.int(0, 30_000));
          statuses.set(given.status, (statuses.get(given.status) ?? 0) + 1);
        }
      };
      const workers = Array.from({ length: WORKERS }, (_, n) => work(n));
      for (let life = 0; life < LIVES; life += 1) {
        await new Promise((resolve) => setTimeout(resolve, random.int(50, 200)));
        await (await services[life % 2]!.admin('DELETE', `/${tenant.id}`)).arrayBuffer();
        await tenant.setQuota({ quotaMb: 1 });
      }
      ended.abort();
      await Promise.all(workers);
      expect(statuses.get(201)).toBeGreaterThan(LIVES);
      // A write that met a store too busy to answer is looked after 5 s later; nothing else changes the
      // books now, so what was counted wrong stays so.
      let seen: unknown;
      const agree = async (): Promise<boolean> => {
        const { usedBytes, reservedBytes } = await tenant.standing();
        const live = await stored(tenant);
        seen = { seed, usedBytes, reservedBytes, live, statuses: [...statuses] };
        return usedBytes === live && reservedBytes === 0;
      };
      await waitUntil(agree, { timeoutMs: 12_000, what: () => JSON.stringify(seen) });
      if (process.env['QUOTA_FIGURES'] !== undefined)
        process.stdout.write(`${JSON.stringify(seen)}\n`);
    },
    60_000,
  );
});
