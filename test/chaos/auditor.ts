import type { Redis } from 'ioredis';
import type { Pool } from 'pg';
import { clock, sleep, within } from './clock';
import type { Findings } from './findings';
import type { Store } from './options';
import { hardBytes, type Tenant } from './tenants';

const EVERY_MS = 100;
/** A server that is stopped gives no sample. */
const PATIENCE_MS = 1_000;

/** Live bytes by tenant. */
export type Sample = ReadonlyMap<string, number>;

/** The true lengths of the values that are live by their entries; all tenants at one moment. */
const LIVE_IN_REDIS = `#!lua flags=no-writes
  local t = redis.call('TIME')
  local now, sums = t[1] * 1000 + math.floor(t[2] / 1000), {}
  for i = 1, #KEYS, 2 do
    local entries, sum = redis.call('HGETALL', KEYS[i]), 0
    for j = 1, #entries, 2 do
      local expiry = tonumber(string.match(entries[j + 1], '^%d+ (%d+)'))
      if expiry == 0 or expiry > now then sum = sum + redis.call('HSTRLEN', KEYS[i + 1], entries[j]) end
    end
    sums[#sums + 1] = sum
  end
  return sums`;

const LIVE_IN_POSTGRES = `
  SELECT tenant_id, sum(octet_length(body))::bigint AS live FROM cache_entries
  WHERE NOT deleted AND (expires_at IS NULL OR expires_at > clock_timestamp())
  GROUP BY tenant_id`;

/** Live values that PostgreSQL's own ledger does not have, and when they were stored. $1 tenant */
const STORED = `
  SELECT convert_from(c.key, 'UTF8') AS key, c.bytes::text AS bytes,
    round(extract(epoch FROM clock_timestamp() - pg_xact_commit_timestamp(c.xmin)), 1)::text AS age
  FROM cache_entries c
  LEFT JOIN quota_ledger_entries e
    ON e.tenant_id = c.tenant_id AND e.key = c.key AND e.bytes = c.bytes
  WHERE c.tenant_id = $1 AND NOT c.deleted AND e.key IS NULL
    AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
  ORDER BY age`;

/** Adds up what is really stored, past the code under test and on connections of its own. */
export class Auditor {
  samples = 0;
  skipped = 0;

  constructor(
    private readonly store: Store,
    private readonly own: { readonly redis: Redis; readonly pool: Pool },
    private readonly tenants: readonly Tenant[],
    private readonly findings: Findings,
    /** What to tell with a finding. */
    private readonly when: () => string,
  ) {}

  /** I1, over and over until the signal. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const started = clock();
      const sample = await within(PATIENCE_MS, 'a sample', this.sample()).catch(() => null);
      if (sample === null) this.skipped += 1;
      else this.check(sample);
      await sleep(Math.max(10, EVERY_MS - (clock() - started)));
    }
  }

  check(sample: Sample): void {
    this.samples += 1;
    for (const tenant of this.tenants) {
      // One that is made anew has the quota of strangers for a moment.
      if (tenant.mortal) continue;
      const [live, hard] = [sample.get(tenant.id) ?? 0, hardBytes(tenant)];
      if (live > hard && this.findings.overAdmission(tenant.id, live, hard, this.when())) {
        void this.explain(tenant.id).catch(() => undefined);
      }
    }
  }

  /** Tells which of the stored values no ledger has as they are, since when, and what is held for them. */
  private async explain(tenant: string): Promise<void> {
    if (this.store === 'redis') return;
    const { redis, pool } = this.own;
    const counted = await within(PATIENCE_MS, 'the entries', redis.hgetall(`quota:{${tenant}}:e`));
    const { rows } = await pool.query<{ key: string; bytes: string; age: string }>(STORED, [
      tenant,
    ]);
    const left = rows.filter(({ key, bytes }) => counted[key]?.split(' ')[0] !== bytes);
    const told = left.map(({ key, bytes, age }) => `${key} ${bytes} bytes ${age} s ago`);
    this.findings.note(`  not in Redis' ledger: ${told.join(', ') || 'none'}`);
    const held = Object.values(await redis.hgetall(`quota:{${tenant}}:r`)).filter(
      (record) => record.startsWith('o') && left.some(({ key }) => record.endsWith(` 1 ${key}`)),
    );
    this.findings.note(`  held there for them: ${held.join(', ') || 'nothing'}`);
  }

  async sample(): Promise<Sample> {
    return this.store === 'redis' ? this.sampleRedis() : this.samplePostgres();
  }

  private async sampleRedis(): Promise<Sample> {
    const keys = this.tenants.flatMap(({ id }) => [`quota:{${id}}:e`, `quota:{${id}}:v`]);
    const sums = (await this.own.redis.eval(LIVE_IN_REDIS, keys.length, ...keys)) as number[];
    return new Map(this.tenants.map(({ id }, i) => [id, Number(sums[i])]));
  }

  private async samplePostgres(): Promise<Sample> {
    const { rows } = await this.own.pool.query<{ tenant_id: string; live: string }>(
      LIVE_IN_POSTGRES,
    );
    return new Map(rows.map(({ tenant_id: id, live }) => [id, Number(live)]));
  }
}
