import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { startPostgres, startRedis, waitUntil } from './index';

describe('startRedis', () => {
  it('gives a server of its own, with extra arguments', async () => {
    const [one, two] = await Promise.all([
      startRedis(),
      startRedis({ args: ['--maxmemory', '4mb'] }),
    ]);
    try {
      expect(one.port).not.toBe(two.port);
      await one.client().set('key', 'value');
      expect(await two.client().get('key')).toBeNull();
      expect(await two.client().config('GET', 'maxmemory')).toEqual(['maxmemory', '4194304']);
    } finally {
      await Promise.all([one.stop(), two.stop()]);
    }
    expect(existsSync(`/proc/${one.pid}`)).toBe(false);
  });

  it('answers nothing while paused, and all of it afterwards', async () => {
    const redis = await startRedis();
    try {
      const client = redis.client();
      await client.ping();
      redis.pause();
      const hurried = redis.client({ commandTimeout: 200, enableReadyCheck: false });
      await expect(hurried.ping()).rejects.toThrow('timed out');
      redis.resume();
      expect(await client.ping()).toBe('PONG');
    } finally {
      await redis.stop();
    }
  });

  it('comes back empty on the same port after a kill', async () => {
    const redis = await startRedis();
    try {
      const client = redis.client();
      await client.set('key', 'value');
      const { port, pid } = redis;
      await redis.kill();
      await redis.restart();
      expect(redis.port).toBe(port);
      expect(redis.pid).not.toBe(pid);
      expect(await client.get('key')).toBeNull();
    } finally {
      await redis.stop();
    }
  });

  it('says how to install what is missing', async () => {
    const before = process.env['REDIS_SERVER_BIN'];
    process.env['REDIS_SERVER_BIN'] = '/nowhere/redis-server';
    try {
      await expect(startRedis()).rejects.toThrow('apt-get install redis-server');
    } finally {
      if (before === undefined) {
        delete process.env['REDIS_SERVER_BIN'];
      } else {
        process.env['REDIS_SERVER_BIN'] = before;
      }
    }
  });
});

describe('startPostgres', () => {
  it('gives databases that survive a kill and a restart', async () => {
    const postgres = await startPostgres();
    try {
      const url = await postgres.createDatabase();
      await run(url, 'CREATE TABLE t AS SELECT 42 AS n');
      await postgres.kill();
      await postgres.restart();
      await postgres.restart();
      expect(await run(url, 'SELECT n FROM t')).toEqual([{ n: 42 }]);
      expect(await run(postgres.url, 'SHOW server_version_num')).toEqual([
        { server_version_num: expect.stringMatching(/^18/) as string },
      ]);
    } finally {
      await postgres.stop();
    }
  });

  it('answers nothing while paused', async () => {
    const postgres = await startPostgres();
    const client = new Client({ connectionString: postgres.url });
    try {
      await client.connect();
      postgres.pause();
      let answered = false;
      const answer = client.query('SELECT 1').then(() => (answered = true));
      const late = new Client({ connectionString: postgres.url, connectionTimeoutMillis: 200 });
      await expect(late.connect()).rejects.toThrow('timeout');
      expect(answered).toBe(false);
      postgres.resume();
      await answer;
      await waitUntil(() => answered);
    } finally {
      await client.end();
      await postgres.stop();
    }
  });
});

async function run(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
