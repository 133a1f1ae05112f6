import { Injectable, type OnModuleInit } from '@nestjs/common';
import { QuotaDecision, QuotaObserver, type CheckEvent } from '@app/quota';
import { PinoLogger } from 'nestjs-pino';

/** Writes what the quota tells of itself as log events with fixed names and fields. */
@Injectable()
export class QuotaLog implements OnModuleInit {
  constructor(
    private readonly observer: QuotaObserver,
    private readonly logger: PinoLogger,
  ) {
    logger.setContext('Quota');
  }

  onModuleInit(): void {
    const { observer, logger } = this;
    observer.on('check', (event) => this.check(event));
    observer.on('changed', ({ tenant, stamp, actor }) => {
      logger.info({ tenantId: tenant, stamp, actor }, 'quota_changed');
    });
    observer.on('reconciled', ({ tenant, driftBytes, causes, usedBytes, routine }) => {
      const level = routine && driftBytes === 0 ? 'debug' : 'info';
      logger[level]({ tenantId: tenant, driftBytes, ...causes, usedBytes }, 'quota_reconciled');
    });
    observer.on('error', ({ operation, error, tenant }) => {
      logger.warn({ tenantId: tenant, operation, error }, 'quota_error');
    });
  }

  private check(event: CheckEvent): void {
    const { tenant: tenantId, bytes, usedBytes, limitBytes, decision, mode, source } = event;
    const durationMs = Number(event.durationMs.toFixed(3));
    const fields = { tenantId, bytes, usedBytes, limitBytes, decision, mode, durationMs, source };
    this.logger.debug(fields, 'quota_check');
    if (decision === QuotaDecision.WARN) this.logger.info(fields, 'quota_warning');
    if (decision !== QuotaDecision.REJECT) return;
    this.logger.warn(fields, mode === 'shadow' ? 'quota_shadow_rejection' : 'quota_exceeded');
  }
}
