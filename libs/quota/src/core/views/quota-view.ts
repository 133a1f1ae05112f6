import { bytesToMb } from '../bytes';
import { planWith, type PlanName } from '../plans';
import type { QuotaMode } from '../quota';
import type { QuotaRow } from '../quota-source';
import type { ReconcileReport } from '../reconciler';
import { usedBytes, type Usage } from '../usage-tracker';

/** What a tenant holds, as the admin API says it. Bytes, and MB where named so. */
export interface UsageAnswer {
  usedBytes: number;
  usedMb: number;
  committedBytes: number;
  reservedBytes: number;
  unmeteredBytes: number;
}

/** A quota as it is set, with what is used of it. */
export interface QuotaAnswer {
  tenantId: string;
  quotaMb: number;
  overageAllowed: boolean;
  overageLimitMb: number;
  plan: PlanName | null;
  mode: QuotaMode | null;
  version: number;
  /** Null: the ledger did not answer. */
  usage: UsageAnswer | null;
  syncedUsedBytes: number;
  createdAt: string;
  updatedAt: string;
}

export interface ReconcileAnswer {
  tenantId: string;
  driftBytes: number;
  corrected: number;
  usedBytes: number;
}

export function usageAnswer(usage: Usage): UsageAnswer {
  const used = usedBytes(usage);
  const { committedBytes, reservedBytes, unmeteredBytes } = usage;
  return {
    usedBytes: used,
    usedMb: bytesToMb(used),
    committedBytes,
    reservedBytes,
    unmeteredBytes,
  };
}

export function quotaAnswer(row: QuotaRow, usage: Usage | null): QuotaAnswer {
  const { tenant, quotaMb, overageAllowed, overageLimitMb, mode, version } = row;
  return {
    ...{ tenantId: tenant, quotaMb, overageAllowed, overageLimitMb, plan: planWith(row) },
    ...{ mode, version },
    usage: usage && usageAnswer(usage),
    syncedUsedBytes: row.currentUsageBytes,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

export function reconcileAnswer(report: ReconcileReport): ReconcileAnswer {
  const { tenant: tenantId, driftBytes, corrected, usedBytes: used } = report;
  return { tenantId, driftBytes, corrected, usedBytes: used };
}
