import { Inject, Injectable } from '@nestjs/common';
import {
  limitsOf,
  QUOTA_OPTIONS,
  QuotaCacheService,
  QuotaDecision,
  quotaHeaders,
  QuotaRollout,
  resolveMode,
  usedBytes,
  type QuotaNumbers,
  type ResolvedQuotaOptions,
  type Usage,
} from '@app/quota';

/** Quota headers for routes where nothing is decided: reading and deleting. */
@Injectable()
export class QuotaStanding {
  constructor(
    private readonly quotas: QuotaCacheService,
    private readonly rollout: QuotaRollout,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  /** The headers for a tenant with this usage; none where its quota is off, or cannot be had. */
  async headers(tenant: string, usage: Usage | null): Promise<Record<string, string>> {
    if (usage === null || !this.rollout.current.enabled) return {};
    try {
      const quota = await this.quotas.getQuota(tenant);
      const mode = resolveMode(this.rollout.current, quota);
      const numbers = { ...limitsOf(quota), usedBytes: usedBytes(usage) };
      const input = { mode, decision: decisionOn(numbers), numbers };
      return quotaHeaders(input, this.options.rateLimitHeaders);
    } catch {
      // Reading and deleting go on without them; the failure was counted where it happened.
      return {};
    }
  }
}

function decisionOn({ usedBytes, quotaBytes, hardBytes }: QuotaNumbers): QuotaDecision {
  if (usedBytes <= quotaBytes) return QuotaDecision.ALLOW;
  return usedBytes <= hardBytes ? QuotaDecision.WARN : QuotaDecision.REJECT;
}
