import { parseRedisUrl } from '@app/quota';
import { InvalidSettingsError, parseSettings } from './settings';

function problemOf(REDIS_URL: string): string {
  try {
    parseSettings({ REDIS_URL });
  } catch (error) {
    if (error instanceof InvalidSettingsError) return error.problems.join('\n');
    throw error;
  }
  return '';
}

it('leaves a single Redis to ioredis', () => {
  for (const url of ['redis://localhost:6379', 'rediss://u:p@[::1]:6380/3?family=6']) {
    expect(parseRedisUrl(url)).toEqual({ kind: 'single', url });
    expect(problemOf(url)).toBe('');
  }
});

it('reads Sentinels, the name of the master and the database', () => {
  expect(parseRedisUrl('redis-sentinel://a:26379,[::1]:26380,10.0.0.1:1/mymaster?db=2')).toEqual({
    kind: 'sentinel',
    sentinels: [
      { host: 'a', port: 26_379 },
      { host: '::1', port: 26_380 },
      { host: '10.0.0.1', port: 1 },
    ],
    name: 'mymaster',
    db: 2,
    tls: false,
  });
  expect(parseRedisUrl('rediss-sentinel://:p%40ss@a:1/m')).toMatchObject({
    ...{ password: 'p@ss', db: 0, tls: true },
  });
});

it('reads the nodes of a Cluster', () => {
  expect(parseRedisUrl('redis-cluster://app:s3:cret@a:1,b:2')).toEqual({
    kind: 'cluster',
    nodes: [
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
    ],
    ...{ username: 'app', password: 's3:cret', tls: false },
  });
  expect(parseRedisUrl('rediss-cluster://a:1/')).toMatchObject({ kind: 'cluster', tls: true });
});

it.each([
  ['localhost:6379', 'does not begin with a known scheme'],
  ['http://a:1', 'does not begin with a known scheme'],
  ['redis-sentinels://a:1/m', 'does not begin with a known scheme'],
  ['redis://a,b', 'takes one host'],
  ['redis-sentinel://a:1,b:2', 'name of the master is missing'],
  ['redis-sentinel://a:1/my master', 'name of the master is missing'],
  ['redis-sentinel://a:1,b/m', 'host 2 of 2 is not a host:port'],
  ['redis-sentinel://a:1,,b:2/m', 'host 2 of 3 is not a host:port'],
  ['redis-sentinel:///m', 'host 1 of 1 is not a host:port'],
  ['redis-sentinel://a:1/m?db=-1', 'the only option is ?db=N'],
  ['redis-sentinel://a:1/m?role=slave', 'the only option is ?db=N'],
  ['redis-cluster://a:65536', 'host 1 of 1 is not a host:port'],
  ['redis-cluster://a:0x10', 'host 1 of 1 is not a host:port'],
  ['redis-cluster://a:1/2', 'has no master name or database'],
  ['redis-cluster://a:1?db=1', 'takes no "?" options'],
  ['redis-cluster://secret@a:1', 'are not user:password'],
  ['redis-cluster://u:se%cret@a:1', '"%" that is no escape'],
  ['redis-cluster://u:secret/@a:1', 'host 1 of 1'],
  ['redis-cluster://u:secret@x@a:1', 'escape @'],
])('says what is wrong with %s, and what is allowed', (url, why) => {
  const problem = problemOf(url);
  expect(problem).toMatch(/^REDIS_URL=\(not shown\) is not usable: /);
  expect(problem).toContain(why);
  expect(problem).toContain('Allowed: redis://…, redis-sentinel://[user:password@]host:port');
  expect(problem).not.toContain('secret');
});
