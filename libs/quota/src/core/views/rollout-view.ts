import type { DecisionCoverage, Span, TenantImpact } from '../decision-store';
import type { QuotaMode } from '../quota';
import type { RolloutSources } from '../quota-rollout';
import type { RolloutReport } from '../rollout-admin';
import type { RolloutChange, RolloutValues } from '../rollout-store';

/** The rollout in force, as the admin API says it. */
export interface RolloutAnswer {
  enabled: boolean;
  logOnly: boolean;
  percent: number;
  tenants: string[];
  mode: QuotaMode;
  sources: RolloutSources;
  killSwitch: boolean;
  version: number;
  changedBy: string | null;
  changedAt: string | null;
  confirmed: boolean;
}

/** What was set at run time. */
export interface RolloutValuesAnswer {
  enabled: boolean | null;
  logOnly: boolean | null;
  percent: number | null;
  tenants: string[] | null;
}

export interface RolloutChangeAnswer {
  version: number;
  changedBy: string;
  changedAt: string;
  before: RolloutValuesAnswer;
  after: RolloutValuesAnswer;
}

/** What a stretch of time in the record holds, and what is missing there. */
export interface CoverageAnswer {
  since: string;
  until: string;
  writes: number;
  missedWrites: number;
  oldestAt: string | null;
  olderDropped: boolean;
}

export interface ImpactSummaryAnswer {
  tenants: number;
  refusedTenants: number;
  refusedTenantsPercent: number;
  writes: number;
  refusedWrites: number;
  refusedWritesPercent: number;
  refusedBytes: number;
}

export interface TenantImpactAnswer {
  tenantId: string;
  writes: number;
  wouldHaveRefused: number;
  refused: number;
  refusedBytes: number;
  furthestBeyondBytes: number;
  firstAt: string;
  lastAt: string;
}

export interface ImpactAnswer {
  record: CoverageAnswer;
  summary: ImpactSummaryAnswer;
  items: TenantImpactAnswer[];
  next: string | null;
}

export function rolloutAnswer(report: RolloutReport): RolloutAnswer {
  const { enabled, logOnly, percent, mode, sources, killSwitch, version } = report;
  return {
    ...{ enabled, logOnly, percent, tenants: [...report.tenants], mode },
    ...{ sources: { ...sources }, killSwitch, version, changedBy: report.changedBy },
    changedAt: report.changedAt?.toISOString() ?? null,
    confirmed: report.confirmed,
  };
}

export function rolloutChangeAnswer(change: RolloutChange): RolloutChangeAnswer {
  const { version, actor: changedBy, changedAt } = change;
  const [before, after] = [valuesAnswer(change.before), valuesAnswer(change.after)];
  return { version, changedBy, changedAt: changedAt.toISOString(), before, after };
}

function valuesAnswer({ enabled, logOnly, percent, tenants }: RolloutValues): RolloutValuesAnswer {
  return { enabled, logOnly, percent, tenants: tenants && [...tenants] };
}

/** @param reach from when on rows are kept by their age, in ms since the epoch */
export function impactAnswer(
  found: {
    readonly coverage: DecisionCoverage;
    readonly tenants: readonly TenantImpact[];
    readonly next: string | null;
  },
  span: Span,
  reach: number,
): ImpactAnswer {
  return {
    record: coverageAnswer(found.coverage, span, reach),
    summary: summaryAnswer(found.coverage),
    items: found.tenants.map(tenantAnswer),
    next: found.next,
  };
}

/** @param reach as in {@link impactAnswer} */
export function coverageAnswer(
  coverage: DecisionCoverage,
  span: Span,
  reach: number,
): CoverageAnswer {
  const { writes, missedWrites, oldestAt, trimmed } = coverage;
  return {
    ...{ since: isoTime(span.from), until: isoTime(span.to), writes, missedWrites },
    oldestAt: oldestAt === null ? null : isoTime(oldestAt),
    olderDropped: span.from < reach || (trimmed && oldestAt !== null && oldestAt > span.from),
  };
}

function summaryAnswer(coverage: DecisionCoverage): ImpactSummaryAnswer {
  const { tenants, refusedTenants, writes, refusedWrites, refusedBytes } = coverage;
  return {
    ...{ tenants, refusedTenants, refusedTenantsPercent: share(refusedTenants, tenants) },
    ...{ writes, refusedWrites, refusedWritesPercent: share(refusedWrites, writes) },
    refusedBytes,
  };
}

function tenantAnswer(impact: TenantImpact): TenantImpactAnswer {
  const { tenant: tenantId, writes, refusedBytes, furthestBeyondBytes } = impact;
  return {
    ...{ tenantId, writes, wouldHaveRefused: impact.shadowRefusals, refused: impact.refusals },
    ...{ refusedBytes, furthestBeyondBytes },
    ...{ firstAt: isoTime(impact.firstAt), lastAt: isoTime(impact.lastAt) },
  };
}

/** @param ms since the epoch */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** In percent, at most two decimals. */
function share(part: number, whole: number): number {
  return whole === 0 ? 0 : Number(((part / whole) * 100).toFixed(2));
}
