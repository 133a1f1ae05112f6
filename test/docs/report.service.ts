// Code of README.md, checked by readme.spec.ts.
// #region report.service
import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { QuotaChecker, QuotaDecision, QuotaExceededError } from 'nestjs-cache-quota';
import { FileStorage } from './file-storage';

@Injectable()
export class ReportService {
  constructor(
    private readonly quota: QuotaChecker,
    private readonly storage: FileStorage,
  ) {}

  /** Called by a queue or a cron job: there is no request here. */
  async save(tenant: string, report: Buffer): Promise<QuotaDecision> {
    const key = `report-${randomUUID()}`;
    const write = { tenant, key, bytes: report.length, ttlSeconds: 86_400 };
    try {
      const verdict = await this.quota.run(
        write,
        async () => {
          await this.storage.put(tenant, key, report);
          return report.length; // bytes that were really stored
        },
        () => this.storage.remove(tenant, key), // the write did not fit after all
      );
      return verdict.decision; // ALLOW or WARN; REJECT only in shadow mode
    } catch (error) {
      if (error instanceof QuotaExceededError) return QuotaDecision.REJECT;
      throw error;
    }
  }
}
// #endregion
