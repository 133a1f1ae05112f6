import { randomUUID } from 'node:crypto';
import type { CountBatch } from './usage-log';

/** Rows that wait to be written, at most; of some 200 bytes each. */
const MAX_ROWS = 50_000;
/** Rows of one batch. */
const BATCH_ROWS = 1_000;

interface Slotted {
  readonly tenant: string;
}

/**
 * Counts in memory, a row for each tenant and slot of time, told in numbered batches. A batch that got
 * no answer is sent again as it was, until one comes: what reads its number writes it once. What is
 * counted meanwhile waits, up to a bound; beyond it counts are lost, and told of.
 */
export class Tally<Row extends Slotted> {
  private readonly writer = randomUUID();
  private number = 0;
  private current = new Map<string, Row>();
  /** Of slots that are over. */
  private closed: Row[] = [];
  private sending: CountBatch<Row> | undefined;
  private flushed = Promise.resolve();
  private lost = 0;

  constructor(
    private readonly parts: {
      readonly slotOf: (row: Row) => number;
      readonly make: (tenant: string, slot: number) => Row;
      readonly write: (batch: CountBatch<Row>) => Promise<void>;
      /** So many counts were lost since this was last told. */
      readonly onLost: (counts: number) => void;
      readonly maxRows?: number;
    },
  ) {}

  /** The row to count in, now and not later; undefined: there are too many already. */
  row(tenant: string, slot: number): Row | undefined {
    const { slotOf, make, maxRows = MAX_ROWS } = this.parts;
    const present = this.current.get(tenant);
    if (present !== undefined && slotOf(present) === slot) return present;
    if (this.current.size + this.closed.length >= maxRows) {
      this.lost += 1;
      return undefined;
    }
    if (present !== undefined) this.closed.push(present);
    const row = make(tenant, slot);
    this.current.set(tenant, row);
    return row;
  }

  /**
   * Writes what was counted until now, after those who asked before.
   *
   * @throws what `write` throws; what was not written is written with the next flush.
   */
  flush(): Promise<void> {
    const flushing = this.flushed.then(() => this.writeAll());
    this.flushed = flushing.catch(() => undefined);
    return flushing;
  }

  private async writeAll(): Promise<void> {
    if (this.lost > 0) {
      this.parts.onLost(this.lost);
      this.lost = 0;
    }
    // What is counted during the flush is left to the next one.
    let batches = Math.ceil((this.current.size + this.closed.length) / BATCH_ROWS);
    if (this.sending !== undefined) batches += 1;
    for (; batches > 0; batches -= 1) {
      this.sending ??= this.nextBatch();
      await this.parts.write(this.sending);
      this.sending = undefined;
    }
  }

  private nextBatch(): CountBatch<Row> {
    const rows = this.closed.splice(0, BATCH_ROWS);
    for (const [tenant, row] of this.current) {
      if (rows.length >= BATCH_ROWS) break;
      rows.push(row);
      this.current.delete(tenant);
    }
    this.number += 1;
    return { writer: this.writer, number: this.number, rows };
  }
}
