import { readFileSync } from 'node:fs';
import { parseSettings, InvalidSettingsError } from './settings';
import { envExample, settingsTable } from './settings.docs';
import { SETTINGS } from './settings.schema';

const SECRET = 'a secret of at least thirty-two bytes';

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    parseSettings(env);
  } catch (error) {
    if (error instanceof InvalidSettingsError) return error.problems;
    throw error;
  }
  return [];
}

describe('parseSettings', () => {
  it('takes an empty environment as a development machine', () => {
    expect(parseSettings({})).toMatchObject({
      NODE_ENV: 'development',
      PORT: 3000,
      HOST: '127.0.0.1',
      HTTP_ADAPTER: 'express',
      REDIS_URL: undefined,
      DATABASE_URL: undefined,
      CACHE_STORE: 'memory',
      TENANT_AUTH: 'header',
      QUOTA_ENFORCEMENT_ENABLED: true,
      QUOTA_ENFORCEMENT_LOG_ONLY: false,
      QUOTA_ROLLOUT_PERCENT: 100,
      QUOTA_ROLLOUT_TENANTS: [],
      QUOTA_EXCLUDED_PATHS: ['/health', '/metrics', '/docs', '/openapi.json'],
    });
  });

  it('leaves the quota off outside of development unless it is turned on', () => {
    const production = { NODE_ENV: 'production', TENANT_AUTH: 'jwt', JWT_SECRET: SECRET };
    expect(parseSettings(production)).toMatchObject({
      QUOTA_ENFORCEMENT_ENABLED: false,
      HOST: '0.0.0.0',
    });
    expect(parseSettings({ NODE_ENV: 'test' }).QUOTA_ENFORCEMENT_ENABLED).toBe(false);
    expect(parseSettings({ QUOTA_ENFORCEMENT_ENABLED: '0' }).QUOTA_ENFORCEMENT_ENABLED).toBe(false);
  });

  it('keeps values in Redis where there is one, unless told otherwise', () => {
    const redis = { REDIS_URL: 'redis://localhost:6379' };
    expect(parseSettings(redis).CACHE_STORE).toBe('redis');
    expect(parseSettings({ ...redis, CACHE_STORE: 'postgres' }).CACHE_STORE).toBe('postgres');
    expect(problemsOf({ CACHE_STORE: 'redis' })).toEqual([
      expect.stringContaining('CACHE_STORE=redis needs REDIS_URL'),
    ]);
  });

  it('takes a blank for nothing where there is no fixed default', () => {
    expect(parseSettings({ REDIS_URL: '', CACHE_STORE: '', ADMIN_TOKEN: '' })).toMatchObject({
      REDIS_URL: undefined,
      CACHE_STORE: 'memory',
      ADMIN_TOKEN: undefined,
    });
  });

  it.each([
    '',
    ' ',
    ' 1',
    '1 ',
    '-1',
    '+1',
    '1e3',
    '0x10',
    '01',
    '1.5',
    'NaN',
    'Infinity',
    '٣',
    '65536',
  ])('does not take PORT=%j for a number', (PORT) => {
    expect(problemsOf({ PORT })).toEqual([
      `PORT=${JSON.stringify(PORT)} is not usable. Allowed: a whole number, 0 to 65535.`,
    ]);
  });

  it.each(['', 'TRUE', 'yes', 'on', ' true', '2', 'null'])(
    'does not take %j for a boolean',
    (text) => {
      expect(problemsOf({ TRUST_TENANT_HEADER: text })).toEqual([
        `TRUST_TENANT_HEADER=${JSON.stringify(text)} is not usable. Allowed: true, false, 1 or 0.`,
      ]);
    },
  );

  it.each(['100.1', '101', '-0', '5.', '.5', '1.234', '1e1'])(
    'does not take QUOTA_ROLLOUT_PERCENT=%s',
    (QUOTA_ROLLOUT_PERCENT) => {
      expect(problemsOf({ QUOTA_ROLLOUT_PERCENT })).toHaveLength(1);
    },
  );

  it('reads lists and decimals', () => {
    const settings = parseSettings({
      QUOTA_ROLLOUT_TENANTS: 'acme, globex',
      QUOTA_ROLLOUT_PERCENT: '12.5',
    });
    expect(settings.QUOTA_ROLLOUT_TENANTS).toEqual(['acme', 'globex']);
    expect(settings.QUOTA_ROLLOUT_PERCENT).toBe(12.5);
    expect(problemsOf({ QUOTA_ROLLOUT_TENANTS: 'acme,{x}' })).toHaveLength(1);
    expect(problemsOf({ QUOTA_EXCLUDED_PATHS: 'health' })).toHaveLength(1);
    expect(problemsOf({ QUOTA_EXCLUDED_PATHS: '/health/' })).toHaveLength(1);
  });

  it('names everything that is wrong at once, and shows no secret', () => {
    const message = problemsOf({
      HTTP_ADAPTER: 'koa',
      REDIS_URL: 'localhost:secret@6379',
      ADMIN_TOKEN: 'two words',
    }).join('\n');
    expect(message).toContain('HTTP_ADAPTER="koa" is not usable. Allowed: express, fastify.');
    expect(message).toContain('REDIS_URL=(not shown)');
    expect(message).toContain('ADMIN_TOKEN=(not shown)');
    expect(message).not.toMatch(/secret@|two words/);
  });

  it('wants a key of 32 bytes for bearer tokens', () => {
    expect(problemsOf({ TENANT_AUTH: 'jwt' })).toHaveLength(1);
    expect(problemsOf({ TENANT_AUTH: 'jwt', JWT_SECRET: 'short' })).toEqual([
      'TENANT_AUTH=jwt needs JWT_SECRET, allowed: at least 32 bytes.',
    ]);
    expect(problemsOf({ TENANT_AUTH: 'jwt', JWT_SECRET: SECRET })).toEqual([]);
  });

  it('trusts the header in production only when told to', () => {
    const [problem] = problemsOf({ NODE_ENV: 'production' });
    expect(problem).toContain('TRUST_TENANT_HEADER=true');
    expect(problemsOf({ NODE_ENV: 'production', TRUST_TENANT_HEADER: 'true' })).toEqual([]);
  });
});

describe('the documentation of the settings', () => {
  it('is in step with the schema in .env.example', () => {
    expect(readFileSync('.env.example', 'utf8')).toBe(envExample());
  });

  it('is in step with the schema in docs/configuration.md', () => {
    expect(readFileSync('docs/configuration.md', 'utf8')).toContain(settingsTable());
  });

  it('is a file that can be used as it stands', () => {
    const env = Object.fromEntries(
      envExample()
        .split('\n')
        .filter((line) => /^[A-Z]/.test(line))
        .map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]),
    );
    expect(Object.keys(env)).toEqual(Object.keys(SETTINGS));
    expect(parseSettings(env)).toEqual(parseSettings({}));
  });
});
