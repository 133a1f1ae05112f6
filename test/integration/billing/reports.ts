import { UsageMeter, UsageRecorder } from '@app/quota';
import { ADMIN_TOKEN, type Service } from '../../e2e/support/service';

export interface UsageItem {
  readonly tenantId: string;
  readonly period: string;
  readonly byteSeconds: string;
  readonly byteHours: string;
  readonly estimatedSeconds: number;
  readonly peakBytes: number;
  readonly writes: number;
  readonly refusals: number;
  readonly shadowRefusals: number;
  readonly warnings: number;
}

export interface CacheMetricsItem {
  readonly tenantId: string;
  readonly date: string;
  readonly totalRequests: number;
  readonly cacheHits: number;
  readonly cacheMisses: number;
  readonly hitRate: number | null;
  readonly totalBytesServed: number;
  readonly avgResponseTimeMs: number | null;
}

/** A report of the service's, as an admin asks for it. */
export function report(service: Service, path: string): Promise<Response> {
  return service.fetch(`/admin/${path}`, { headers: { Authorization: `Bearer ${ADMIN_TOKEN}` } });
}

/** Today and the day after, so that a test may run over midnight. */
function range(): string {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  return `from=${day(Date.now() - 86_400_000)}&to=${day(Date.now() + 86_400_000)}`;
}

async function items<T>(service: Service, path: string): Promise<T[]> {
  const response = await report(service, path);
  if (response.status !== 200) throw new Error(`${path}: ${await response.text()}`);
  return ((await response.json()) as { items: T[] }).items;
}

/** What a tenant used of late, all its hours together. */
export async function usageOf(service: Service, tenant: string): Promise<UsageItem | undefined> {
  const hours = await items<UsageItem>(service, `usage?by=hour&tenant=${tenant}&${range()}`);
  return hours.reduce<UsageItem | undefined>((sum, next) => {
    if (sum === undefined) return next;
    return {
      ...next,
      byteSeconds: String(BigInt(sum.byteSeconds) + BigInt(next.byteSeconds)),
      peakBytes: Math.max(sum.peakBytes, next.peakBytes),
      writes: sum.writes + next.writes,
      refusals: sum.refusals + next.refusals,
      shadowRefusals: sum.shadowRefusals + next.shadowRefusals,
      warnings: sum.warnings + next.warnings,
    };
  }, undefined);
}

/** What a tenant's cache did, all days together but the rate and the average, which are the last one's. */
export async function metricsOf(
  service: Service,
  tenant: string,
): Promise<CacheMetricsItem | undefined> {
  const path = `cache-metrics?tenant=${tenant}&${range()}`;
  const days = await items<CacheMetricsItem>(service, path);
  return days.reduce<CacheMetricsItem | undefined>((sum, next) => {
    if (sum === undefined) return next;
    return {
      ...next,
      totalRequests: sum.totalRequests + next.totalRequests,
      cacheHits: sum.cacheHits + next.cacheHits,
      cacheMisses: sum.cacheMisses + next.cacheMisses,
      totalBytesServed: sum.totalBytesServed + next.totalBytesServed,
    };
  }, undefined);
}

/** Has the counts of these instances written now. */
export async function flush(...services: Service[]): Promise<void> {
  await Promise.all(services.map((service) => service.app.get(UsageRecorder).flush()));
}

/** Has the usage of all tenants read by these instances, at once. */
export async function read(...services: Service[]): Promise<void> {
  await Promise.all(services.map((service) => service.app.get(UsageMeter).readAll()));
}
