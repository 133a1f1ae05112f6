import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PostgresQuotaStore } from '@app/quota';
import { Pool } from 'pg';
import { createDataSource } from '../../../src/database/data-source';
import { DataFolderInUseError, lockFolder } from '../../../src/database/data-folder-lock';
import {
  EMBEDDED_POOL,
  EmbeddedPostgres,
  IN_MEMORY,
} from '../../../src/database/embedded-postgres';
import { waitUntil } from '../../support';

/** Processes that contend for a folder, on a machine of two cores. */
const SLOW = 120_000;

interface Child {
  readonly process: ChildProcess;
  readonly lines: string[];
  says(start: string): Promise<string>;
  ends(): Promise<void>;
}

function startChild(folder: string): Child {
  const child = spawn(process.execPath, [join(__dirname, 'embedded-child.cjs'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    process: child,
    lines,
    async says(start) {
      const find = (): string | undefined => lines.find((line) => line.startsWith(start));
      await waitUntil(() => find() !== undefined || child.exitCode !== null, { timeoutMs: 60_000 });
      await waitUntil(() => find() !== undefined, {
        what: () => `"${start}"; it said: ${lines.join(' | ')}`,
      });
      return find() ?? '';
    },
    ends: () => ended,
  };
}

describe('The embedded database', () => {
  let folder: string;
  /** Making a database takes seconds; most tests begin with a copy of this one. */
  let template: string;
  beforeAll(async () => {
    template = await mkdtemp(join(tmpdir(), 'quota-embedded-test-'));
    await (await EmbeddedPostgres.start(template)).close();
  }, SLOW);
  afterAll(() => rm(template, { recursive: true, force: true }));
  const copyTemplate = (to: string): Promise<void> => cp(template, to, { recursive: true });
  const children: ChildProcess[] = [];
  const child = (): Child => {
    const started = startChild(folder);
    children.push(started.process);
    return started;
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quota-embedded-test-'));
  });
  afterEach(async () => {
    for (const started of children.splice(0)) started.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });

  it(
    'keeps what it was told over a restart',
    async () => {
      const settings = { dataDir: folder };
      await copyTemplate(join(folder, 'pglite'));
      const first = await createDataSource(settings);
      const made = await new PostgresQuotaStore(first).change('a', { quotaMb: 5 }, { actor: 'x' });
      await first.destroy();
      const second = await createDataSource(settings);
      expect(await new PostgresQuotaStore(second).load('a')).toEqual({
        row: made.row,
        stamp: made.stamp,
      });
      await second.destroy();
      expect(readdirSync(join(folder, 'pglite')).toSorted()).toEqual(['complete', 'data']);
    },
    SLOW,
  );

  it(
    'refuses a second user of the folder, here and in another process, and does no harm',
    async () => {
      await copyTemplate(folder);
      const server = await EmbeddedPostgres.start(folder);
      await expect(EmbeddedPostgres.start(folder)).rejects.toThrow(DataFolderInUseError);
      await expect(EmbeddedPostgres.start(folder)).rejects.toThrow(
        `in use by process ${process.pid}`,
      );
      const other = child();
      expect(await other.says('failed')).toContain('DataFolderInUseError');
      await other.ends();
      const pool = new Pool({ ...server.address, ...EMBEDDED_POOL });
      expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      await pool.end();
      await server.close();
      const successor = await EmbeddedPostgres.start(folder);
      await successor.close();
    },
    SLOW,
  );

  it(
    'opens after its process was killed, with all that was committed',
    async () => {
      await copyTemplate(folder);
      const killed = child();
      await killed.says('committed 20');
      killed.process.kill('SIGKILL');
      await killed.ends();
      const last = Number(killed.lines.findLast((l) => l.startsWith('committed'))?.split(' ')[1]);
      const server = await EmbeddedPostgres.start(folder);
      const pool = new Pool({ ...server.address, ...EMBEDDED_POOL });
      const { rows } = await pool.query<{ n: number }>('SELECT count(*)::int AS n FROM t');
      // One more may have been committed that nobody was told of.
      expect(rows[0]!.n).toBeGreaterThanOrEqual(last);
      expect(rows[0]!.n).toBeLessThanOrEqual(last + 1);
      await pool.end();
      await server.close();
    },
    SLOW,
  );

  it(
    'opens after its first start was killed half way',
    async () => {
      const killed = child();
      await waitUntil(() => existsSync(join(folder, 'data', 'base')), { timeoutMs: 60_000 });
      killed.process.kill('SIGKILL');
      await killed.ends();
      expect(existsSync(join(folder, 'complete'))).toBe(false);
      const server = await EmbeddedPostgres.start(folder);
      await server.close();
    },
    SLOW,
  );

  it(
    'waits for no process that is stopped, and takes over when it is gone',
    async () => {
      await copyTemplate(folder);
      const stopped = child();
      await stopped.says('open');
      stopped.process.kill('SIGSTOP');
      await expect(EmbeddedPostgres.start(folder)).rejects.toThrow('does not answer');
      stopped.process.kill('SIGKILL');
      await stopped.ends();
      const server = await EmbeddedPostgres.start(folder);
      await server.close();
    },
    SLOW,
  );

  it(
    'goes to exactly one of several processes that start together',
    async () => {
      await copyTemplate(folder);
      const contenders = [child(), child(), child()];
      await Promise.all(
        contenders.map(({ lines }) =>
          waitUntil(() => lines.some((line) => /^(open|failed)/.test(line)), { timeoutMs: 90_000 }),
        ),
      );
      const opened = contenders.filter(({ lines }) => lines.includes('open'));
      expect(opened).toHaveLength(1);
      await opened[0]!.says('committed');
      opened[0]!.process.kill('SIGTERM');
      await opened[0]!.ends();
      expect(readdirSync(folder).toSorted()).toEqual(['complete', 'data']);
    },
    SLOW,
  );

  it(
    'gives the lock to one of many, again and again',
    async () => {
      for (let round = 0; round < 20; round++) {
        const claims = await Promise.allSettled(
          Array.from({ length: 8 }, () => lockFolder(folder)),
        );
        const held = claims.filter((claim) => claim.status === 'fulfilled');
        expect(held.length).toBeLessThanOrEqual(1);
        for (const claim of held) await claim.value.release();
      }
      const lock = await lockFolder(folder);
      await lock.release();
      expect(readdirSync(folder)).toEqual([]);
    },
    SLOW,
  );

  it(
    'can be reached by nobody else on the machine',
    async () => {
      await copyTemplate(folder);
      const server = await EmbeddedPostgres.start(folder);
      const { host } = server.address;
      expect(host.startsWith('/')).toBe(true);
      expect(statSync(host).mode & 0o077).toBe(0);
      await server.close();
      expect(existsSync(host)).toBe(false);
    },
    SLOW,
  );

  it(
    'answers many at once, each its own, large parameters among them',
    async () => {
      const server = await EmbeddedPostgres.start(IN_MEMORY);
      const pool = new Pool({ ...server.address, ...EMBEDDED_POOL });
      const answers = await Promise.all(
        Array.from({ length: 40 }, async (_, i) => {
          const body = Buffer.alloc(i % 4 === 0 ? 300_000 : 10, i);
          const { rows } = await pool.query<Record<string, Buffer>>(
            `SELECT $1::bytea AS answer_${String(i)}`,
            [body],
          );
          return rows[0]?.[`answer_${String(i)}`]?.equals(body);
        }),
      );
      expect(answers).toEqual(Array(40).fill(true));
      await expect(pool.query('SELECT 1/0')).rejects.toMatchObject({ code: '22012' });

      // A client that vanishes in a transaction holds up nobody.
      const client = await pool.connect();
      await client.query('BEGIN');
      await client.query('CREATE TABLE never (n int)');
      client.release(true);
      expect((await pool.query(`SELECT to_regclass('never') AS t`)).rows).toEqual([{ t: null }]);
      await pool.end();
      await server.close();
    },
    SLOW,
  );
});
