import { Injectable, type OnModuleInit } from '@nestjs/common';
import {
  QuotaDecision,
  QuotaObserver,
  type CheckEvent,
  type QuotaEvents,
  type StoreName,
} from '@app/quota';
import { PinoLogger } from 'nestjs-pino';
import { loggable } from './loggable';

/** An error is logged once in so many ms, and at most so many different ones are. */
const REPEAT_MS = 1_000;
const MAX_KINDS = 20;

/** Writes what the quota tells of itself as log events with fixed names and fields. */
@Injectable()
export class QuotaLog implements OnModuleInit {
  private readonly down = new Set<StoreName>();
  private lastErrors = { since: -Infinity, kinds: new Set<string>() };

  constructor(
    private readonly observer: QuotaObserver,
    private readonly logger: PinoLogger,
  ) {
    logger.setContext('Quota');
  }

  onModuleInit(): void {
    const { observer, logger } = this;
    observer.on('check', (event) => this.check(event));
    observer.on('late', ({ tenant, ...rest }) => {
      const fields = { tenantId: loggable(tenant), decision: QuotaDecision.REJECT, ...rest };
      logger.warn(fields, 'quota_late_rejection');
    });
    observer.on('changed', ({ tenant, stamp, actor }) => {
      const fields = { tenantId: loggable(tenant), stamp, actor: loggable(actor) };
      logger.info(fields, 'quota_changed');
    });
    observer.on('evicted', ({ tenant, actor, evicted, freedBytes }) => {
      logger.info(
        { tenantId: loggable(tenant), actor: loggable(actor), evicted, freedBytes },
        'quota_evicted',
      );
    });
    observer.on('rollout', ({ version, actor, mode }) => {
      logger.info(
        { version, actor: actor === null ? null : loggable(actor), mode },
        'quota_rollout_changed',
      );
    });
    observer.on('reconciled', ({ tenant, driftBytes, causes, usedBytes, routine }) => {
      const level = routine && driftBytes === 0 ? 'debug' : 'info';
      const fields = { tenantId: loggable(tenant), driftBytes, ...causes, usedBytes };
      logger[level](fields, 'quota_reconciled');
    });
    observer.on('lapsed', ({ tenant, found, letGo }) => {
      logger.info({ tenantId: loggable(tenant), found, letGo }, 'quota_lapsed');
    });
    observer.on('degraded', (event) => this.degraded(event));
    observer.on('folded', ({ tenant, bytes, items }) => {
      logger.info({ tenantId: loggable(tenant), bytes, items }, 'quota_folded');
    });
    observer.on('error', (event) => this.error(event));
    observer.on('store', (event) => this.store(event));
  }

  private check(event: CheckEvent): void {
    const { decision, mode } = event;
    // Most are of no interest to anybody: nothing is made of them then.
    if (decision === QuotaDecision.ALLOW && !this.logger.logger.isLevelEnabled('debug')) return;
    const { bytes, usedBytes, limitBytes, source } = event;
    const tenantId = loggable(event.tenant);
    const durationMs = Number(event.durationMs.toFixed(3));
    const fields = { tenantId, bytes, usedBytes, limitBytes, decision, mode, durationMs, source };
    this.logger.debug(fields, 'quota_check');
    if (decision === QuotaDecision.WARN) this.logger.info(fields, 'quota_warning');
    if (decision !== QuotaDecision.REJECT) return;
    this.logger.warn(fields, mode === 'shadow' ? 'quota_shadow_rejection' : 'quota_exceeded');
  }

  /** The bank's decisions are as good as any; those that nobody could take are what an operator looks for. */
  private degraded({ tenant, bytes, policy }: QuotaEvents['degraded']): void {
    const level = policy === 'bank' ? 'debug' : 'warn';
    this.logger[level]({ tenantId: loggable(tenant), bytes, policy }, 'quota_degraded');
  }

  /** While a store is away every request fails alike: one line a second tells as much as a thousand. */
  private error({ operation, error, tenant, cause }: QuotaEvents['error']): void {
    const kind = `${operation} ${error} ${cause ?? ''}`;
    const now = performance.now();
    if (now - this.lastErrors.since > REPEAT_MS) this.lastErrors = { since: now, kinds: new Set() };
    const { kinds } = this.lastErrors;
    if (kinds.has(kind) || kinds.size >= MAX_KINDS) return;
    kinds.add(kind);
    const tenantId = tenant === undefined ? undefined : loggable(tenant);
    this.logger.warn({ tenantId, operation, error, cause }, 'quota_error');
  }

  /** Once an outage each; the probes in between change nothing for anybody. */
  private store({ store, state, cause }: QuotaEvents['store']): void {
    if (state === 'closed') {
      if (this.down.delete(store)) this.logger.info({ store }, 'quota_store_up');
    } else if (!this.down.has(store)) {
      this.down.add(store);
      this.logger.warn({ store, cause }, 'quota_store_down');
    }
  }
}
