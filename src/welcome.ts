import { Logger } from '@nestjs/common';
import type { Settings } from './config/settings.schema';

/** So that it stands below the log lines that are still on their way to the terminal. */
const AFTER_LOGS_MS = 100;

/** The first start makes the embedded database, which takes some seconds. */
export function greet(settings: Settings): void {
  if (settings.NODE_ENV !== 'development') return;
  process.stdout.write('Starting the cache service; the first start takes some seconds.\n');
}

/** Says at start what runs where, and on a developer's machine how to try it. */
export function welcome(settings: Settings, url: string): void {
  const quota = !settings.QUOTA_ENFORCEMENT_ENABLED
    ? 'off'
    : settings.QUOTA_ENFORCEMENT_LOG_ONLY
      ? 'in shadow mode'
      : 'enforced';
  new Logger('Service').log(
    `Listening on ${url} (${settings.HTTP_ADAPTER}). Values: ${settings.CACHE_STORE}. ` +
      `Quotas: ${settings.DATABASE_URL === undefined ? `embedded, in ${settings.DATA_DIR}` : 'PostgreSQL'}. ` +
      `Tenants by ${settings.TENANT_AUTH}. Quota ${quota}.`,
  );
  if (settings.NODE_ENV !== 'development' || settings.TENANT_AUTH !== 'header') return;
  const base = `http://localhost:${new URL(url).port || '80'}`;
  const text = [
    '',
    '  Store something within a quota of 100 MB:',
    '',
    `    curl -i -X PUT '${base}/cache/hello?ttl=60' -H 'X-Tenant-ID: starter' --data 'Hello, quota'`,
    '',
    `  Where the tenant stands:  curl -s ${base}/quota -H 'X-Tenant-ID: starter'`,
    `  Everything else:          ${base}/docs`,
    '',
    '',
  ].join('\n');
  setTimeout(() => process.stdout.write(text), AFTER_LOGS_MS);
}
