import { Inject, Injectable } from '@nestjs/common';
import {
  Budget,
  errorEvent,
  limitsOf,
  QUOTA_OPTIONS,
  QuotaCacheService,
  QuotaDecision,
  quotaHeaders,
  QuotaObserver,
  QuotaRollout,
  QuotaUnavailableError,
  resolveMode,
  usedBytes,
  type QuotaNumbers,
  type ResolvedQuotaOptions,
  type Usage,
} from '@app/quota';

/** Ms that headers may add to an answer that is there already. */
const PATIENCE_MS = 50;

/** Quota headers for routes where nothing is decided: reading and deleting. */
@Injectable()
export class QuotaStanding {
  constructor(
    private readonly quotas: QuotaCacheService,
    private readonly rollout: QuotaRollout,
    private readonly observer: QuotaObserver,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  /** The headers for a tenant with this usage; none where its quota is off, or cannot be had. */
  async headers(tenant: string, usage: Usage | null): Promise<Record<string, string>> {
    if (usage === null || !this.rollout.current.enabled) return {};
    try {
      const quota = await this.quotas.getQuota(tenant, new Budget(PATIENCE_MS));
      const mode = resolveMode(this.rollout.current, quota);
      const numbers = { ...limitsOf(quota), usedBytes: usedBytes(usage) };
      const input = { mode, decision: decisionOn(numbers), numbers };
      return quotaHeaders(input, this.options.rateLimitHeaders);
    } catch (error) {
      // Reading and deleting go on without them.
      if (error instanceof QuotaUnavailableError) {
        this.observer.emit('error', errorEvent('standing', error, tenant));
      }
      return {};
    }
  }
}

function decisionOn({ usedBytes, quotaBytes, hardBytes }: QuotaNumbers): QuotaDecision {
  if (usedBytes <= quotaBytes) return QuotaDecision.ALLOW;
  return usedBytes <= hardBytes ? QuotaDecision.WARN : QuotaDecision.REJECT;
}
