import { inTime } from './budget';
import { QuotaDecision } from './decision';
import type { DecisionRecord, DecisionStore } from './decision-store';
import { errorEvent } from './error-event';
import type { CheckEvent, QuotaObserver } from './observer';
import { Rounds, type RoundResult } from './rounds';

export interface DecisionRecorderOptions {
  readonly maxRows: number;
  /** Rows older than this many ms go. */
  readonly maxAgeMs: number;
}

/** Decisions that wait for being written; more are dropped, and counted. */
const BUFFER = 10_000;
/** Rows of one statement. */
const BATCH = 500;
const FLUSH_MS = 1_000;
const STOP_MS = 2_000;
/** Rounds between two looks for rows that are too old while nothing is written. */
const TRIM_EVERY = 30;

/**
 * Keeps decisions on writes for later questions. A request only leaves its decision in a buffer; rounds
 * of their own write them in batches. A store that is away costs decisions, which are counted, and
 * nothing else.
 */
export class DecisionRecorder {
  private waiting: DecisionRecord[] = [];
  private missed = 0;
  private rounds: Rounds | undefined;
  private round = 0;

  constructor(
    private readonly store: DecisionStore,
    private readonly observer: QuotaObserver,
    private readonly options: DecisionRecorderOptions,
    private readonly now: () => number = Date.now,
  ) {}

  /** Begins to listen and to write. Once. */
  start(): void {
    this.observer.on('check', (event) => this.keep(event));
    const failed = (error: unknown): void => {
      this.observer.emit('error', errorEvent('record', error));
    };
    this.rounds = new Rounds(FLUSH_MS, () => this.flush(), failed);
    this.rounds.start();
  }

  /** Writes what waits, as far as that goes in two seconds. Never rejects. */
  async stop(): Promise<void> {
    if (this.rounds === undefined) return;
    try {
      await inTime('record', STOP_MS, this.writeAll(this.rounds));
    } catch (error) {
      this.observer.emit('error', errorEvent('record', error));
    }
  }

  private async writeAll(rounds: Rounds): Promise<void> {
    await rounds.stop();
    while (this.waiting.length > 0) await this.flush();
  }

  /** Writes a batch. Throws what the store does; the batch is lost then, and counted as missing. */
  async flush(): Promise<RoundResult> {
    const { store, observer, options } = this;
    this.round += 1;
    const batch = this.waiting.splice(0, BATCH);
    if (batch.length === 0 && this.round % TRIM_EVERY !== 0) return 'done';
    const missed = this.missed;
    if (batch.length > 0) {
      try {
        await store.write(batch, missed);
      } catch (error) {
        // Whether it was written may not be known; twice would be worse than not at all.
        this.drop(batch.length);
        throw error;
      }
      this.missed -= missed;
      observer.emit('recorded', { written: batch.length, dropped: 0 });
    }
    const before = this.now() - options.maxAgeMs;
    const more = await store.trim({ maxRows: options.maxRows, before });
    return this.waiting.length >= BATCH || more ? 'more' : 'done';
  }

  private keep(event: CheckEvent): void {
    if (this.waiting.length >= BUFFER) this.drop(1);
    else this.waiting.push(recordOf(event, this.now()));
  }

  private drop(count: number): void {
    this.missed += count;
    this.observer.emit('recorded', { written: 0, dropped: count });
  }
}

function recordOf(event: CheckEvent, at: number): DecisionRecord {
  const { tenant, bytes, usedBeforeBytes, quotaBytes, limitBytes, decision, mode } = event;
  return {
    ...{ tenant, at, bytes, decision, mode, hardBytes: limitBytes },
    deltaBytes: event.deltaBytes ?? bytes,
    usedBeforeBytes: usedBeforeBytes ?? null,
    quotaBytes: quotaBytes ?? null,
  };
}

/** Whether what it was about came to be stored, as far as the quota is concerned. */
export function wasAdmitted({ decision, mode }: DecisionRecord): boolean {
  return decision !== QuotaDecision.REJECT || mode !== 'enforce';
}
