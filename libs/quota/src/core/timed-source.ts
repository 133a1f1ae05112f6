import { inTime } from './budget';
import { UsageSource } from './usage-tracker';

/** Ms for one answer: less than a reconciliation's lease lasts, and than a shutdown may take. */
const ANSWER_MS = 8_000;

/**
 * An application's storage that is not waited for without end. Whatever it says of itself when it fails,
 * the callers know what to do with the storage's own errors; one that says nothing would hold up folds,
 * reconciliations and the end of the process.
 */
export class TimedSource extends UsageSource {
  constructor(
    private readonly source: UsageSource,
    private readonly answerMs = ANSWER_MS,
  ) {
    super();
  }

  /** @throws QuotaUnavailableError when there is no answer in time, and what the storage throws. */
  page(...args: Parameters<UsageSource['page']>): ReturnType<UsageSource['page']> {
    return inTime('usage_source', this.answerMs, this.source.page(...args));
  }

  /** Throws as {@link page}. */
  lookup(...args: Parameters<UsageSource['lookup']>): ReturnType<UsageSource['lookup']> {
    return inTime('usage_source', this.answerMs, this.source.lookup(...args));
  }
}
