import type { RefusedVerdict } from './refusal';

/** Stable codes of every error that leaves the library; safe to switch on. */
export type QuotaErrorCode =
  | 'invalid_write'
  | 'invalid_tenant'
  | 'invalid_options'
  | 'unknown_tenant'
  | 'reservation_conflict'
  | 'quota_conflict'
  | 'rollout_conflict'
  | 'kill_switch'
  | 'quota_exceeded'
  | 'write_too_large'
  | 'write_bounced'
  | 'body_aborted'
  | 'quota_unavailable';

/** Base of the library's errors: a stable `code`, and a message that says what is allowed. */
export abstract class QuotaError extends Error {
  abstract readonly code: QuotaErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Where in the request a wrong value stood: `size`, `key`, `ttl`, `body`, or a header or field name. */
export interface InvalidInput {
  readonly where: string;
  readonly allowed: string;
}

/** A size, key, ttl or option of a write that cannot be used. Nothing was read or charged. HTTP 400. */
export class InvalidWriteError extends QuotaError {
  readonly code = 'invalid_write';

  constructor(
    readonly input: InvalidInput,
    message: string,
  ) {
    super(message);
  }
}

/** No tenant id, or one that does not match the allowed form. Nothing was read or charged. HTTP 400 or 401. */
export class InvalidTenantError extends QuotaError {
  readonly code = 'invalid_tenant';

  constructor(
    /** True when there was no id at all, which is a matter of identity (401), not of form (400). */
    readonly missing: boolean,
    message: string,
  ) {
    super(message);
  }
}

/** The tenant has no quota of its own and the module is set to refuse such tenants. HTTP 403. */
export class UnknownTenantError extends QuotaError {
  readonly code = 'unknown_tenant';

  constructor(readonly tenant: string) {
    super(
      `Tenant "${tenant}" has no quota. Create one for it, or set unknownTenant to "default" ` +
        '(QUOTA_UNKNOWN_TENANT=default) to give such tenants the default quota.',
    );
  }
}

/** A reservation id was used again for another write. A programming error of the caller. */
export class ReservationConflictError extends QuotaError {
  readonly code = 'reservation_conflict';

  constructor(readonly id: string) {
    super(
      `Reservation ${id} already exists for another key or size. An id may be sent again only for ` +
        'the very same write; take a new id for a new write.',
    );
  }
}

/**
 * What was heard of a store when an operation failed: it `answered` and would or could not do this one
 * thing; it was `silent`, or said that it can serve nobody; its connection was `lost`; or it was `unasked`, as
 * where all of our own connections are in use, and nothing was heard.
 */
export type StoreContact = 'answered' | 'silent' | 'lost' | 'unasked';

/** Until lapsed reservations have been looked into: a sweep comes every 4 s. */
const LOOK_SECONDS = 5;

/**
 * Redis, PostgreSQL or both did not answer in time, or said they could not. Our trouble, never the
 * tenant's: HTTP 503 with Retry-After.
 */
export class QuotaUnavailableError extends QuotaError {
  readonly code = 'quota_unavailable';

  constructor(
    /** Which part failed, for logs and metrics: `reserve`, `commit`, `config`, … */
    readonly operation: string,
    options?: ErrorOptions & {
      /** Whether the operation took effect; `unknown` may be sent again with the same id. */
      applied?: 'no' | 'unknown';
      retryAfterSeconds?: number;
      /** `silent` unless set; a store that answered is not taken for one that is away. */
      contact?: StoreContact;
      /** This instance is shutting down; another one may answer. */
      closing?: boolean;
    },
  ) {
    super(`The quota store could not finish "${operation}".`, options);
    this.applied = options?.applied ?? 'unknown';
    this.retryAfterSeconds = options?.retryAfterSeconds ?? 1;
    this.contact = options?.contact ?? 'silent';
    this.closing = options?.closing ?? false;
  }

  readonly applied: 'no' | 'unknown';
  readonly retryAfterSeconds: number;
  readonly contact: StoreContact;
  readonly closing: boolean;
}

/**
 * The ledger has answered, and can neither admit the write nor refuse it: what stands in its way may be
 * nothing, and is being looked into. No other store, and no budget, is to decide instead. HTTP 503.
 */
export class UndecidedError extends QuotaUnavailableError {
  constructor(operation: string, cause: Error, retryAfterSeconds = 1) {
    super(operation, { applied: 'no', contact: 'answered', retryAfterSeconds, cause });
  }

  /** What hinders is held by reservations that lapsed, and that nobody has looked into yet. */
  static byLapsed(operation: string): UndecidedError {
    const cause = new Error(
      'Reservations that have lapsed hold the room; they are being looked into',
    );
    return new UndecidedError(operation, cause, LOOK_SECONDS);
  }
}

/** A refused write, for callers below HTTP that prefer an error to a verdict. HTTP 429 or 413. */
export class QuotaExceededError extends QuotaError {
  readonly code: 'quota_exceeded' | 'write_too_large';

  constructor(readonly verdict: RefusedVerdict) {
    super(
      verdict.reason === 'exceeded'
        ? `Tenant "${verdict.tenant}" is over its quota: a write of ${String(verdict.bytes)} bytes does not fit.`
        : `A write of ${String(verdict.bytes)} bytes is larger than tenant "${verdict.tenant}" may ever store at once.`,
    );
    this.code = verdict.reason === 'exceeded' ? 'quota_exceeded' : 'write_too_large';
  }
}

/** The tenant was deleted, or the hold released, while the write was on its way. HTTP 409. */
export class WriteBouncedError extends QuotaError {
  readonly code = 'write_bounced';

  constructor(readonly tenant: string) {
    super(
      `Tenant "${tenant}" was deleted while the write was on its way; nothing was stored. ` +
        'Send it again if the tenant still exists.',
    );
  }
}

/** The quota was changed by somebody else since it was read. HTTP 409. */
export class QuotaConflictError extends QuotaError {
  readonly code = 'quota_conflict';

  constructor(
    readonly tenant: string,
    /** The row's version now; 0 when there is no row. */
    readonly currentVersion: number,
  ) {
    super(
      `The quota of tenant "${tenant}" is at version ${String(currentVersion)} now. ` +
        'Read it again and repeat the change from there.',
    );
  }
}

/** The rollout was changed by somebody else since it was read. HTTP 409. */
export class RolloutConflictError extends QuotaError {
  readonly code = 'rollout_conflict';

  constructor(
    /** Its version now; 0 when it was never changed at run time. */
    readonly currentVersion: number,
  ) {
    super(
      `The rollout is at version ${String(currentVersion)} now. ` +
        'Read it again and repeat the change from there.',
    );
  }
}

/** The quota is turned off by the environment, which nothing at run time changes. HTTP 409. */
export class KillSwitchError extends QuotaError {
  readonly code = 'kill_switch';

  constructor() {
    super(
      'The quota is turned off by the environment (QUOTA_ENFORCEMENT_ENABLED=false, or the option ' +
        'enabled). Take that away and start again; then it can be turned on at run time.',
    );
  }
}

/** Options the module cannot start with. */
export class InvalidOptionsError extends QuotaError {
  readonly code = 'invalid_options';

  constructor(
    /** One line a problem: which option, what is allowed. */
    readonly problems: readonly string[],
  ) {
    super(`QuotaModule cannot start with these options:\n- ${problems.join('\n- ')}`);
  }
}
