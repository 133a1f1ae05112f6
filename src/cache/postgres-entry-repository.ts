import {
  postgresContact,
  QuotaUnavailableError,
  UsageSource,
  type Budget,
  type SourceEntry,
  type StoreBreakers,
  type StoreContact,
} from '@app/quota';
import type { DataSource } from 'typeorm';
import {
  NoConnectionError,
  runStatement,
  wasRefused,
  type Row,
  type Statement,
} from '../database/run-statement';
import {
  DELETE,
  GET,
  GET_LARGE,
  LOOKUP,
  NEXT_VERSION,
  OLDEST,
  PAGE,
  PURGE,
  PUT,
  SWEEP,
  UNDO,
} from './entry-sql';

export interface StoredBody {
  readonly body: Buffer;
  readonly contentType: string;
  readonly bytes: number;
  /** Ms since the epoch by the database's clock; absent: never. */
  readonly expiresAt?: number;
}

export interface PutResult {
  /** Rises with every write and delete of the key, in the order the storage took them. */
  readonly version: number;
  /** The key had a live entry before. */
  readonly replaced: boolean;
  readonly expiresAt?: number;
}

export interface DeleteResult {
  /** A live entry was removed. */
  readonly removed: boolean;
  /** The removal's own version; 0 when there was nothing to remove, which orders before every write. */
  readonly version: number;
}

/** A row that was purged, and the version of its removal. */
export interface PurgedRow {
  readonly key: string;
  readonly version: number;
}

/**
 * For an answer, in ms, and how much longer a value may take: 100 MB get some 30 s more. This is also
 * what upkeep has, and an embedded database, where slow means only slow.
 */
const DEADLINE_MS = 6_000;
const SLOWEST_BYTES_PER_MS = 3_500;

/** Values up to here are answered in the time that any request has. */
const SMALL_BYTES = 65_536;
/** For a request's statement with a small value, in ms; for each byte above, until others hold. */
const SMALL_DEADLINE_MS = 400;
const FIRST_BYTES_PER_MS = 100;

export interface EntryRepositoryOptions {
  /** Statements run behind that of PostgreSQL. */
  readonly breakers?: StoreBreakers;
  /** Requests wait as long as upkeep does, for a database that is in this process. */
  readonly patient?: boolean;
}

/** What a statement is beside its text. */
interface Work {
  /** How much goes over the line beside what every statement has. */
  readonly bytes?: number;
  /** The time of the request it belongs to; absent: it is upkeep. */
  readonly budget?: Budget | undefined;
  /** Sent even when the request's time is over, since it makes good what the request did. */
  readonly always?: boolean;
}

/** How many rows one statement of {@link PostgresEntryRepository.purge} empties at most. */
const PURGE_BATCH = 500;

/**
 * Values in the table `cache_entries`, apart from the ledger. A delete leaves a tombstone for some
 * minutes, so that the version of a write that comes after it is higher.
 *
 * Every method may throw QuotaUnavailableError; after one with `applied: 'unknown'` the database may
 * have done it all the same.
 */
export class PostgresEntryRepository extends UsageSource {
  constructor(
    private readonly dataSource: DataSource,
    private readonly options: EntryRepositoryOptions = {},
  ) {
    super();
  }

  /**
   * Stores a value, in place of what the key had. `ttlMs` absent: it does not expire.
   *
   * @param budget of the request, here and below: a small value is waited for no longer than that
   */
  async put(
    tenant: string,
    key: string,
    body: Buffer,
    contentType: string,
    ttlMs?: number,
    budget?: Budget,
  ): Promise<PutResult> {
    const values = [tenant, Buffer.from(key), body, contentType, ttlMs ?? null];
    const [row] = await this.rows('entry_put', PUT, values, { bytes: body.length, budget });
    return {
      version: number(row, 'version'),
      replaced: row?.['was_live'] === true,
      ...expiry(row),
    };
  }

  /** The live value, or null. A large one is asked for when its size is known, since it takes its time. */
  async get(tenant: string, key: string, budget?: Budget): Promise<StoredBody | null> {
    const place = [tenant, Buffer.from(key)];
    let [row] = await this.rows('entry_get', GET, place, { budget });
    if (row?.['body'] === null) {
      const bytes = number(row, 'bytes');
      [row] = await this.rows('entry_get', GET_LARGE, place, { bytes, budget });
    }
    if (row === undefined) return null;
    return {
      body: row['body'] as Buffer,
      contentType: row['content_type'] as string,
      bytes: number(row, 'bytes'),
      ...expiry(row),
    };
  }

  async delete(tenant: string, key: string, budget?: Budget): Promise<DeleteResult> {
    const place = [tenant, Buffer.from(key)];
    return removal(await this.rows('entry_delete', DELETE, place, { budget }));
  }

  /** Takes a write back, unless the key has changed since. What it had replaced stays lost. */
  async undo(tenant: string, key: string, version: number, budget?: Budget): Promise<DeleteResult> {
    const values = [tenant, Buffer.from(key), version];
    return removal(await this.rows('entry_undo', UNDO, values, { budget, always: true }));
  }

  /**
   * Removes all that the tenant had stored when it was called, in batches. What is written meanwhile
   * stays, so it comes to an end under any load.
   */
  async *purge(tenant: string): AsyncGenerator<PurgedRow[]> {
    const before = await this.drawVersion();
    for (;;) {
      const rows = await this.rows('entry_purge', PURGE, [tenant, PURGE_BATCH, before]);
      if (rows.length === 0) return;
      yield rows.map((row) => ({
        key: (row['key'] as Buffer).toString(),
        version: number(row, 'version'),
      }));
    }
  }

  /**
   * Removes for good what expired or was deleted some minutes ago: at most `limit` rows and some
   * 64 MB at once. Returns how many; go on until it is 0.
   */
  async sweep(limit: number): Promise<number> {
    return (await this.rows('entry_sweep', SWEEP, [limit])).length;
  }

  async page(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: SourceEntry[]; next: string | null }> {
    const after = Buffer.from(cursor ?? '', 'hex');
    const rows = await this.rows('entry_page', PAGE, [tenant, after, limit]);
    const last = rows.length < limit ? undefined : rows.at(-1);
    return {
      entries: rows.map(entry),
      next: last === undefined ? null : (last['key'] as Buffer).toString('hex'),
    };
  }

  /** A version that is above those of all that was written before. */
  async drawVersion(): Promise<number> {
    const [drawn] = await this.rows('entry_version', NEXT_VERSION, []);
    return number(drawn, 'version');
  }

  /** Live entries below a version, those first that were written first. Looks at all that the tenant has. */
  async oldest(tenant: string, limit: number, before: number): Promise<SourceEntry[]> {
    return (await this.rows('entry_oldest', OLDEST, [tenant, limit, before])).map(entry);
  }

  async lookup(tenant: string, keys: readonly string[], budget?: Budget): Promise<SourceEntry[]> {
    const wanted = keys.map((key) => Buffer.from(key));
    return (await this.rows('entry_lookup', LOOKUP, [tenant, wanted], { budget })).map(entry);
  }

  private async rows(
    operation: string,
    text: string,
    values: readonly unknown[],
    work: Work = {},
  ): Promise<Row[]> {
    const { bytes = 0, always = false } = work;
    const budget = this.options.patient === true ? undefined : work.budget;
    const deadlineMs = budget === undefined ? patientDeadlineMs(bytes) : deadlineMsFor(bytes);
    const send = (): Promise<Row[]> => this.guarded(operation, { text, values, deadlineMs });
    if (budget === undefined || bytes > SMALL_BYTES) return send();
    return always ? budget.wait(operation, send()) : budget.step(operation, send);
  }

  private guarded(operation: string, statement: Statement): Promise<Row[]> {
    const run = async (): Promise<Row[]> => {
      try {
        return await runStatement(this.dataSource, statement);
      } catch (error) {
        const applied = wasRefused(error) ? 'no' : 'unknown';
        throw new QuotaUnavailableError(operation, {
          ...{ cause: error, applied, contact: contactOf(error) },
        });
      }
    };
    return this.options.breakers?.run('postgres', operation, run) ?? run();
  }
}

function patientDeadlineMs(bytes: number): number {
  return Math.ceil(DEADLINE_MS + bytes / SLOWEST_BYTES_PER_MS);
}

/** Of a request: short where the value is small, and for larger ones soon as long as for all others. */
function deadlineMsFor(bytes: number): number {
  const more = Math.max(0, bytes - SMALL_BYTES);
  return Math.min(
    SMALL_DEADLINE_MS + Math.ceil(more / FIRST_BYTES_PER_MS),
    patientDeadlineMs(more),
  );
}

/** Where the pool is full, the server was not asked; what is out of time says that it is silent. */
function contactOf(error: unknown): StoreContact {
  if (error instanceof NoConnectionError)
    return error.poolIsFull ? 'unasked' : contactOf(error.cause);
  return error instanceof QuotaUnavailableError ? 'silent' : postgresContact(error);
}

function removal([row]: Row[]): DeleteResult {
  if (row === undefined) return { removed: false, version: 0 };
  return { removed: row['was_live'] === true, version: number(row, 'version') };
}

function entry(row: Row): SourceEntry {
  return {
    key: (row['key'] as Buffer).toString(),
    bytes: number(row, 'bytes'),
    version: number(row, 'version'),
    ...expiry(row),
  };
}

function expiry(row: Row | undefined): { expiresAt?: number } {
  const at = row?.['expires_at'];
  return at instanceof Date ? { expiresAt: at.getTime() } : {};
}

/** bigint comes as text. @throws RangeError beyond 2^53 − 1. */
function number(row: Row | undefined, column: string): number {
  const value = Number(row?.[column]);
  if (!Number.isSafeInteger(value))
    throw new RangeError(`${column} is beyond 2^53 − 1, or absent.`);
  return value;
}
