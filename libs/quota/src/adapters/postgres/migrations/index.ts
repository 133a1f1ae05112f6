import { QuotaChange } from '../quota-change.entity';
import { QuotaDecisionRow } from '../quota-decision.entity';
import { QuotaRolloutChange, QuotaRolloutRow } from '../quota-rollout.entity';
import { QuotaUsageSample } from '../quota-usage-sample.entity';
import { TenantCacheMetric } from '../tenant-cache-metric.entity';
import { TenantCacheQuota } from '../tenant-cache-quota.entity';
import { CreateTenantCacheQuotas1767225600001 } from './1767225600001-create-tenant-cache-quotas';
import { CreateQuotaChanges1767225600002 } from './1767225600002-create-quota-changes';
import { CreateTenantCacheMetrics1767225600003 } from './1767225600003-create-tenant-cache-metrics';
import { CreateQuotaLedger1767225600004 } from './1767225600004-create-quota-ledger';
import { AddUsageReadAt1767225600010 } from './1767225600010-add-usage-read-at';
import { CreateQuotaRollout1767225600020 } from './1767225600020-create-quota-rollout';
import { CreateQuotaDecisions1767225600021 } from './1767225600021-create-quota-decisions';
import { CreateQuotaUsageSamples1767225600030 } from './1767225600030-create-quota-usage-samples';
import { IndexQuotaFill1767225600045 } from './1767225600045-index-quota-fill';

/** The library's entities, for the `entities` of a DataSource. */
export const quotaEntities = [
  TenantCacheQuota,
  QuotaChange,
  TenantCacheMetric,
  QuotaRolloutRow,
  QuotaRolloutChange,
  QuotaDecisionRow,
  QuotaUsageSample,
];

/** The library's migrations, for the `migrations` of a DataSource, before the application's own. */
export const quotaMigrations = [
  CreateTenantCacheQuotas1767225600001,
  CreateQuotaChanges1767225600002,
  CreateTenantCacheMetrics1767225600003,
  CreateQuotaLedger1767225600004,
  AddUsageReadAt1767225600010,
  CreateQuotaRollout1767225600020,
  CreateQuotaDecisions1767225600021,
  CreateQuotaUsageSamples1767225600030,
  IndexQuotaFill1767225600045,
];
