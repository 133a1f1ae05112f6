import type { QuotaDecision } from './decision';
import type { QuotaMode } from './quota';

export type SpanName = 'quota.reserve' | 'quota.settle';

/** What a span says of the write it is about. */
export interface SpanFacts {
  readonly decision?: QuotaDecision;
  readonly mode?: QuotaMode;
  /** The store that decided. */
  readonly source?: string;
  /** Of a settlement: `commit` or `release`, and what came of it. */
  readonly operation?: 'commit' | 'release';
  readonly outcome?: string;
}

export interface QuotaSpan {
  add(facts: SpanFacts): void;
}

/** Where spans go. Nobody makes one while {@link active} is false, so that it costs nothing then. */
export interface QuotaTracer {
  readonly active: boolean;
  /** Runs `work` in a span, which ends with it, and tells of its error if it throws. */
  run<T>(
    name: SpanName,
    about: { readonly tenant: string; readonly bytes: number },
    work: (span: QuotaSpan) => Promise<T>,
  ): Promise<T>;
}
