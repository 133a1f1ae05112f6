import { mbToBytes } from './bytes';
import { planWith } from './plans';
import type { QuotaRow } from './quota-source';
import type { QuotaFilter } from './quota-store';

/** Whether all that the filter says holds for the row. */
export function matchesFilter(row: QuotaRow, filter: QuotaFilter): boolean {
  const { over = false, nearPercent, mode, plan } = filter;
  const quotaBytes = mbToBytes(row.quotaMb);
  return (
    (!over || row.currentUsageBytes > quotaBytes) &&
    (nearPercent === undefined || (row.currentUsageBytes / quotaBytes) * 100 >= nearPercent) &&
    (mode === undefined || row.mode === mode) &&
    (plan === undefined || planWith(row) === plan)
  );
}
