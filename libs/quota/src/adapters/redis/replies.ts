import {
  MAX_BYTES,
  QuotaDecision,
  QuotaUnavailableError,
  UndecidedError,
  type Usage,
} from '../../core';

/** The first element of every reply of a ledger script; the same numbers as CODE in include/state.lua. */
export enum ReplyCode {
  RESERVED = 1,
  REJECTED = 2,
  STALE = 3,
  AGAIN = 4,
  CONFLICT = 5,
  BEYOND_MAX = 6,
  COMMITTED = 7,
  REFUSED = 8,
  BOUNCED = 9,
  RELEASED = 10,
  SETTLED = 11,
  DONE = 12,
  MORE = 13,
  GRANT_SHORT = 14,
  KNOWN = 15,
  LOST = 16,
  OTHER_LIFE = 17,
  UNDECIDED = 18,
}

/** As include/verdict.lua numbers them. */
const DECISIONS = [QuotaDecision.ALLOW, QuotaDecision.WARN, QuotaDecision.REJECT] as const;

const DIGITS = /^\d{1,16}$/;

function isReplyCode(value: unknown): value is ReplyCode {
  return typeof value === 'number' && ReplyCode[value] !== undefined;
}

/** Reads a reply element by element; anything unexpected is our trouble, never a number. */
export class Reply {
  readonly code: ReplyCode;
  private readonly items: readonly unknown[];
  private position = 1;

  /** @throws QuotaUnavailableError unless it is a list that begins with a known code. */
  constructor(
    private readonly operation: string,
    raw: unknown,
  ) {
    this.items = Array.isArray(raw) ? raw : [];
    const code = this.items[0];
    if (!isReplyCode(code)) throw this.malformed('code');
    this.code = code;
  }

  ended(): boolean {
    return this.position >= this.items.length;
  }

  usage(): Usage {
    return {
      committedBytes: this.whole(),
      reservedBytes: this.whole(),
      unmeteredBytes: this.whole(),
    };
  }

  /** A whole number from 0 to 2^53 − 1, sent as decimal text. */
  whole(): number {
    const text = this.text();
    const value = Number(text);
    if (!DIGITS.test(text) || value > MAX_BYTES) throw this.malformed('number');
    return value;
  }

  signed(): number {
    const text = this.text();
    const value = Number(text);
    if (!/^-?\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) throw this.malformed('number');
    return value === 0 ? 0 : value;
  }

  /** As {@link whole}; the empty text is undefined. */
  optional(): number | undefined {
    if (String(this.items[this.position]) !== '') return this.whole();
    this.position += 1;
    return undefined;
  }

  /** As {@link whole}; 0, which stands for "never", is undefined. */
  expiry(): number | undefined {
    const value = this.whole();
    return value === 0 ? undefined : value;
  }

  flag(): boolean {
    const text = this.text();
    if (text !== '0' && text !== '1') throw this.malformed('flag');
    return text === '1';
  }

  decision(): QuotaDecision {
    const decision = DECISIONS[this.whole()];
    if (decision === undefined) throw this.malformed('decision');
    return decision;
  }

  text(): string {
    const item = this.next();
    if (typeof item === 'string') return item;
    if (Buffer.isBuffer(item)) return item.toString();
    throw this.malformed('text');
  }

  bytes(): Buffer {
    const item = this.next();
    if (Buffer.isBuffer(item)) return item;
    throw this.malformed('value');
  }

  /** For a code that the operation does not know. */
  unexpected(): QuotaUnavailableError {
    return this.malformed(`code ${ReplyCode[this.code]}`);
  }

  private next(): unknown {
    const item = this.items[this.position];
    this.position += 1;
    return item;
  }

  private malformed(what: string): QuotaUnavailableError {
    const cause = new Error(`Redis' reply has an unexpected ${what} at ${String(this.position)}.`);
    const contact = 'answered';
    return new QuotaUnavailableError(this.operation, { applied: 'unknown', cause, contact });
  }
}

/** @throws UndecidedError when that is what the script says */
export function refuseUndecided(operation: string, { code }: Reply): void {
  if (code === ReplyCode.UNDECIDED) throw UndecidedError.byLapsed(operation);
}
