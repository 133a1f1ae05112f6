import { MAX_QUOTA_MB, TENANT_ID_PATTERN } from '@app/quota';
import type { z } from 'zod';
import { redisUrl } from './redis-url';
import {
  choice,
  list,
  optional,
  percentage,
  text,
  toggle,
  url,
  whole,
  type Environment,
} from './setting';

/** Development is where nothing is said: `npm start` on somebody's machine. */
export function environmentOf(env: Environment): string {
  return env['NODE_ENV'] ?? 'development';
}

/**
 * Every setting of the service: the one place that knows its name, form, default and meaning.
 * `.env.example`, `docs/configuration.md` and the messages at start are made from it.
 */
export const SETTINGS = {
  NODE_ENV: choice(['development', 'production', 'test'], {
    about: 'Where this runs; development prints readable logs and turns the quota on.',
    default: 'development',
  }),
  PORT: whole(0, 65_535, { about: 'Port to listen on; 0 takes a free one.', default: '3000' }),
  HOST: text('a host name or an address', /^[A-Za-z0-9.:_-]{1,253}$/, {
    about: 'Address to listen on.',
    default: {
      note: '0.0.0.0 in production, else 127.0.0.1, since header mode trusts whoever gets through',
      of: (env) => (environmentOf(env) === 'production' ? '0.0.0.0' : '127.0.0.1'),
    },
  }),
  HTTP_ADAPTER: choice(['express', 'fastify'], {
    about: 'HTTP framework under Nest.',
    default: 'express',
  }),
  REDIS_URL: optional(
    redisUrl({
      about: 'Redis for usage and values, shared by all instances; unset: in this process.',
    }),
  ),
  DATABASE_URL: optional(
    url(['postgres', 'postgresql'], {
      about: 'PostgreSQL for quotas; unset: embedded (PGlite), kept under DATA_DIR.',
    }),
  ),
  DATA_DIR: text('a path, or memory://', /^[^\0]{1,1024}$/, {
    about: 'Folder of the embedded database; memory:// keeps nothing.',
    default: '.data',
  }),
  CACHE_STORE: choice(['redis', 'memory', 'postgres'], {
    about: 'Where values are kept.',
    default: {
      note: 'redis with REDIS_URL, else memory',
      of: (env) => (isSet(env['REDIS_URL']) ? 'redis' : 'memory'),
    },
  }),
  TENANT_AUTH: choice(['header', 'jwt'], {
    about: 'Who names the tenant: a trusted X-Tenant-ID header, or a verified bearer token.',
    default: 'header',
  }),
  JWT_SECRET: optional(
    text('at least 32 bytes, at most 4,096 characters', /^.{1,4096}$/s, {
      about: 'Key of the bearer tokens (HS256) for TENANT_AUTH=jwt.',
      secret: true,
    }),
  ),
  ADMIN_TOKEN: optional(
    text('1 to 512 visible ASCII characters', /^[\x21-\x7e]{1,512}$/, {
      about: 'Bearer token of the admin routes with TENANT_AUTH=header; unset: nobody is admin.',
      secret: true,
    }),
  ),
  TRUST_TENANT_HEADER: toggle({
    about: 'Allows TENANT_AUTH=header in production, behind a gateway that sets the header.',
    default: 'false',
  }),
  QUOTA_ENFORCEMENT_ENABLED: toggle({
    about:
      'Turns the quota on; off, nothing is checked or charged; false beats all set at run time.',
    default: {
      note: 'false; true in development (npm start)',
      of: (env) => String(environmentOf(env) === 'development'),
    },
  }),
  QUOTA_ENFORCEMENT_LOG_ONLY: toggle({
    about: 'Shadow mode: decides, counts and logs, refuses nothing.',
    default: 'false',
  }),
  QUOTA_ROLLOUT_PERCENT: percentage({
    about: 'Share of tenants that is enforced; the others are in shadow.',
    default: '100',
  }),
  QUOTA_ROLLOUT_TENANTS: list('tenant ids separated by commas', TENANT_ID_PATTERN, {
    about: 'Tenants that are always enforced.',
    default: '',
  }),
  QUOTA_ROLLOUT_REFRESH_SECONDS: whole(1, 3_600, {
    about: 'How often an instance looks up what was set at run time, besides when it is told.',
    default: '5',
  }),
  QUOTA_RECORD_DECISIONS: toggle({
    about:
      'Keeps decisions on writes in a bounded table, for the impact of a rollout and for what-if.',
    default: 'true',
  }),
  QUOTA_DECISIONS_MAX_ROWS: whole(1_000, 1_000_000, {
    about: 'Of these, the latest so many at most.',
    default: '500000',
  }),
  QUOTA_DECISIONS_MAX_AGE_HOURS: whole(1, 8_760, {
    about: 'None that is older, in hours.',
    default: '168',
  }),
  QUOTA_CACHE_TTL_SECONDS: whole(1, 86_400, {
    about: "How long a copy of a tenant's quota serves before it is looked up again.",
    default: '300',
  }),
  QUOTA_MAX_WRITE_SIZE_MB: whole(1, 2_047, {
    about: 'Largest single write, in MB.',
    default: '100',
  }),
  QUOTA_DEFAULT_QUOTA_MB: whole(1, MAX_QUOTA_MB, {
    about: 'Quota of a tenant that has none of its own, in MB.',
    default: '100',
  }),
  QUOTA_UNKNOWN_TENANT: choice(['default', 'deny'], {
    about: 'A tenant without a quota of its own gets the default one, or is refused (403).',
    default: 'default',
  }),
  QUOTA_EXCLUDED_PATHS: list(
    'paths that begin with "/" and do not end with it, separated by commas',
    /^\/[^\s,]*[^\s,/]$/,
    {
      about: 'Paths without a quota, matched by whole segments.',
      default: '/health,/metrics,/docs,/openapi.json',
    },
  ),
  QUOTA_RESERVATION_TTL_SECONDS: whole(1, 3_600, {
    about: 'Bytes of a write that was never finished go back after this time.',
    default: '60',
  }),
  QUOTA_RATE_LIMIT_HEADERS: toggle({
    about: 'Sends RateLimit and RateLimit-Policy besides the X-Cache-Quota-* headers.',
    default: 'true',
  }),
  QUOTA_GRANT_CHUNK_MB: whole(1, MAX_QUOTA_MB, {
    about: 'What PostgreSQL grants Redis of a limit beyond what is used, in MB.',
    default: '8',
  }),
  QUOTA_ON_OUTAGE: choice(['deny', 'allow'], {
    about: 'With Redis and PostgreSQL both away: refuse writes (503), or allow a fixed budget.',
    default: 'deny',
  }),
  QUOTA_OUTAGE_BUDGET_MB: whole(0, MAX_QUOTA_MB, {
    about: 'That budget of each instance, in MB.',
    default: '10',
  }),
  QUOTA_USAGE_SYNC_SECONDS: whole(1, 86_400, {
    about: 'How often usage is read, for the table of quotas and for byte-hours.',
    default: '300',
  }),
  QUOTA_METRICS_TOP_TENANTS: whole(0, 100, {
    about: 'So many tenants nearest to their limit are named in the metrics, with their usage.',
    default: '0',
  }),
  QUOTA_TRACE_TENANT_IDS: toggle({
    about: "Puts the tenant's id on the spans of OpenTelemetry.",
    default: 'false',
  }),
  QUOTA_USAGE_FLUSH_SECONDS: whole(1, 3_600, {
    about: 'How often counts for bills are written; a killed process loses so much of them.',
    default: '10',
  }),
  QUOTA_USAGE_RETENTION_DAYS: whole(1, 3_650, {
    about: 'How long hourly usage and daily metrics are kept.',
    default: '400',
  }),
  LOG_LEVEL: choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    about: 'Least level that is logged; the decision on every write is at debug.',
    default: 'info',
  }),
};

export type SettingName = keyof typeof SETTINGS;

/** The settings as they hold, checked and complete. */
export type Settings = Readonly<{
  [K in SettingName]: z.output<(typeof SETTINGS)[K]['schema']>;
}> & {
  /** QUOTA_ENFORCEMENT_ENABLED says false, and was not merely left out: nothing at run time beats that. */
  readonly quotaKillSwitch: boolean;
};

/** What must hold between settings. Each gives what is wrong, or null. */
export const RULES: readonly ((settings: Settings) => string | null)[] = [
  ({ CACHE_STORE, REDIS_URL }) =>
    CACHE_STORE === 'redis' && REDIS_URL === undefined
      ? 'CACHE_STORE=redis needs REDIS_URL. Set it, or take CACHE_STORE=memory or postgres.'
      : null,
  ({ TENANT_AUTH, JWT_SECRET }) =>
    TENANT_AUTH === 'jwt' && (JWT_SECRET === undefined || Buffer.byteLength(JWT_SECRET) < 32)
      ? 'TENANT_AUTH=jwt needs JWT_SECRET, allowed: at least 32 bytes.'
      : null,
  ({ NODE_ENV, TENANT_AUTH, TRUST_TENANT_HEADER }) =>
    NODE_ENV === 'production' && TENANT_AUTH === 'header' && !TRUST_TENANT_HEADER
      ? 'NODE_ENV=production does not take TENANT_AUTH=header, since anybody could name any tenant. ' +
        'Set TENANT_AUTH=jwt and JWT_SECRET; or TRUST_TENANT_HEADER=true when a gateway in front ' +
        'sets X-Tenant-ID and clients cannot.'
      : null,
];

export function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '';
}
