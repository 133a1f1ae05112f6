// Code of docs/library.md, checked by readme.spec.ts.
import type { ExecutionContext } from '@nestjs/common';
import { Cluster, Redis } from 'ioredis';
import type { Readable } from 'node:stream';
import {
  EnforceCacheQuota,
  lateRefusal,
  QuotaChecker,
  QuotaExceededError,
  QuotaModule,
  quotaClusterOptions,
  quotaRedisOptions,
  UsageSource,
  sizeFromContentLength,
  tenantFromHeader,
  type QuotaOptionsFactory,
  type QuotaModuleOptions,
  type SourceEntry,
} from 'nestjs-cache-quota';
import { FileStorage } from './file-storage';

declare function writeStream(key: string, body: Readable): Promise<number>;
declare function removeStored(key: string): Promise<void>;

// #region minimal
QuotaModule.forRoot({ defaultQuotaMb: 50, tenant: tenantFromHeader('X-Tenant-ID') });
// #endregion

// #region options.factory
export class QuotaOptions implements QuotaOptionsFactory {
  createQuotaOptions(): QuotaModuleOptions {
    return { defaultQuotaMb: 50, unknownTenant: 'deny' };
  }
}

QuotaModule.forRootAsync({ useClass: QuotaOptions });
// #endregion

// #region resolver
function keyOfObject(context: ExecutionContext): string {
  const request = context.switchToHttp().getRequest<{ params: Record<string, string> }>();
  return `${request.params['bucket'] ?? ''}/${request.params['name'] ?? ''}`;
}
// #endregion

export class StreamController {
  // #region undo
  @EnforceCacheQuota({
    key: keyOfObject,
    size: sizeFromContentLength(),
    undo: async (context) => {
      await removeStored(keyOfObject(context)); // objects are never overwritten here
    },
  })
  // #endregion
  put(): void {
    // The body is of no interest here.
  }
}

// #region reserve
export async function store(quota: QuotaChecker, tenant: string, key: string, body: Readable) {
  const verdict = await quota.reserve({ tenant, key, bytes: 5_000_000 });
  if (!verdict.admitted) throw new QuotaExceededError(verdict);
  const { reservation } = verdict;
  let bytes: number;
  try {
    bytes = await writeStream(key, body);
  } catch (error) {
    await reservation.release();
    throw error;
  }
  const reply = await reservation.commit(bytes);
  if (reply !== null && reply.outcome !== 'committed') {
    await removeStored(key);
    await quota.remove(tenant, key); // what the key held before is gone as well
    throw lateRefusal(reservation, reply);
  }
}
// #endregion

// #region source
export class FileUsageSource extends UsageSource {
  constructor(private readonly storage: FileStorage) {
    super();
  }

  async page(tenant: string, cursor: string | null, limit: number) {
    const files = await this.storage.list(tenant);
    const after = files.filter(({ key }) => cursor === null || key > cursor);
    const entries = after.slice(0, limit);
    const next = after.length > limit ? (entries.at(-1)?.key ?? null) : null;
    return { entries, next };
  }

  async lookup(tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    const files = await this.storage.list(tenant);
    return files.filter(({ key }) => keys.includes(key));
  }
}
// #endregion

// #region a removal in a storage of your own
export async function remove(quota: QuotaChecker, tenant: string, key: string) {
  await quota.runRemoval(tenant, key, async () => {
    await removeStored(key);
    return {};
  });
}
// #endregion

declare const url: string;
declare const sentinels: { host: string; port: number }[];
declare const nodes: { host: string; port: number }[];

// #region redis.clients
export const clients = [
  () => new Redis(url, quotaRedisOptions),
  () => new Redis({ ...quotaRedisOptions, sentinels, name: 'mymaster', failoverDetector: true }),
  () => new Cluster(nodes, quotaClusterOptions),
];
// #endregion
