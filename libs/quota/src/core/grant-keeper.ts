import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type {
  FoldBatch,
  Grant,
  GrantedTenant,
  GrantedLedger,
  GrantShortError,
  QuotaBank,
} from './bank';
import { MAX_BYTES } from './bytes';
import { errorEvent } from './error-event';
import { QuotaUnavailableError } from './errors';
import type { UpkeepLease } from './lease';
import { rebuild } from './ledger-rebuild';
import type { QuotaObserver } from './observer';
import type { StoredTruth } from './stored-truth';
import type { UsageTracker } from './usage-tracker';

export interface GrantKeeperParts {
  readonly ledger: UsageTracker;
  readonly grants: GrantedLedger;
  readonly bank: QuotaBank;
  readonly lease: UpkeepLease;
  readonly observer: QuotaObserver;
  /** What is really stored; absent: nobody can say, and a ledger that lost its data stays without a grant. */
  readonly truth?: Pick<StoredTruth, 'rebuild' | 'verify'>;
  /** Tells every instance of a tenant of whom the ledger has lost what it knew. */
  readonly tellLoss?: (tenant: string) => Promise<void>;
}

interface Wish {
  seen: number;
  wantBytes: number;
  /** Of the writes beside the one that wants most. */
  moreBytes: number;
  hardBytes: number;
  readonly done: Promise<void>;
}

/** Entries in one batch of the journal. */
const BATCH = 500;
/** A grant takes two calls from the bank to the ledger; so often, and so many ms apart, it is looked for. */
const FIRST_GRANT_LOOKS = 4;
const FIRST_GRANT_MS = 15;
/** A batch that the ledger does not take is tried again so often, with what it lacked. */
const MOST_TRIES = 3;
/** A grant is at most this share of the limit beyond what is used, so that a bit of it stays ungranted. */
const LARGEST_SHARE = 8;

/**
 * Between the bank and the ledger it has granted to: larger grants, one request at a time for each
 * tenant; the journal's way back into the ledger; and what to do when the ledger has lost its data.
 */
export class GrantKeeper {
  private readonly waiting = new Map<string, Wish>();
  private readonly fetching = new Map<string, Promise<void>>();
  private readonly folding = new Map<string, Promise<boolean>>();
  private readonly rebuilding = new Map<string, Promise<boolean>>();

  constructor(
    private readonly parts: GrantKeeperParts,
    private readonly chunkBytes: number,
  ) {}

  /**
   * Fetches a larger grant, after which the write is tried again.
   *
   * @throws QuotaUnavailableError when there is none to be had at present
   */
  widen(
    tenant: string,
    short: Pick<GrantShortError, 'wantBytes' | 'seen'>,
    bytes: number,
    hardBytes: number,
  ): Promise<void> {
    const joined = this.waiting.get(tenant);
    if (joined !== undefined) {
      joined.moreBytes += Math.min(bytes, MAX_BYTES - joined.moreBytes);
      joined.seen = Math.max(joined.seen, short.seen);
      joined.wantBytes = Math.max(joined.wantBytes, short.wantBytes);
      joined.hardBytes = hardBytes;
      return joined.done;
    }
    const before = this.fetching.get(tenant) ?? Promise.resolve();
    const done = before.catch(() => undefined).then(() => this.fetchNext(tenant));
    const { seen, wantBytes } = short;
    this.waiting.set(tenant, { seen, wantBytes, moreBytes: 0, hardBytes, done });
    return done;
  }

  /** Brings all of the tenant's journal into the ledger. False: there was nothing. */
  fold(tenant: string): Promise<boolean> {
    return once(this.folding, tenant, () => this.foldAll(tenant));
  }

  /** What is owed to the ledger: the end of a deleted tenant, and the journal. */
  async settle(tenant: string): Promise<void> {
    const account = await this.parts.bank.standing(tenant);
    if (account?.dropping === true) await this.finishDrop(tenant, account.generation);
    else if (account?.pending === true) await this.fold(tenant);
  }

  async finishDrop(tenant: string, generation: string): Promise<void> {
    await this.parts.ledger.drop(tenant);
    await this.parts.bank.dropped(tenant, generation);
  }

  /** An operator says that what the ledger has is so, or what is stored says it. */
  rebuild(tenant: string, reconcile: (tenant: string) => Promise<unknown>): Promise<boolean> {
    return once(this.rebuilding, tenant, () => rebuild(tenant, { ...this.parts, reconcile }));
  }

  /**
   * The ledger holds so much, whatever it was granted: then it is granted. And what it takes its grant
   * for is what the bank has granted, though one of them was set back.
   */
  async admitFact(tenant: string, holdsBytes: number): Promise<void> {
    const { grants, bank } = this.parts;
    const { seq: seen, grantBytes, rebuilding } = await grants.ledgerStanding(tenant);
    const granted = (await bank.standing(tenant))?.grantedBytes ?? 0;
    if (rebuilding || (holdsBytes <= grantBytes && grantBytes <= granted)) return;
    await this.renew(tenant, seen, holdsBytes);
  }

  /** Gives back to the bank what the ledger has no use for, so that others can be admitted from it. */
  async lower({ tenant, grantedBytes, chunkBytes }: GrantedTenant): Promise<void> {
    const { grants, bank } = this.parts;
    const left = await grants.lowerGrant(tenant, chunkBytes);
    if (left === null || left.bytes >= grantedBytes || (await bank.lower(tenant, left))) return;
    // The bank is a number ahead; with a grant both know it can be lowered next time.
    await this.renew(tenant, left.seq, left.bytes);
  }

  private async renew(tenant: string, seen: number, wantBytes: number): Promise<void> {
    const limits = { wantBytes, hardBytes: MAX_BYTES, chunkBytes: 0 };
    const reply = await this.parts.bank.grant({ tenant, seen, ...limits });
    if (reply.outcome === 'granted') await this.give(tenant, seen, reply.grant);
  }

  /** See {@link UsageTracker.accept}. */
  async accept(tenant: string): Promise<void> {
    const { grants, bank } = this.parts;
    const { seq, rebuilding } = await grants.ledgerStanding(tenant);
    const account = await bank.standing(tenant);
    const granted = account !== null && account.grantedBytes > 0;
    if (rebuilding || (seq === 0 && granted)) await this.rebuild(tenant, async () => undefined);
  }

  private async fetchNext(tenant: string): Promise<void> {
    const wish = this.waiting.get(tenant);
    this.waiting.delete(tenant);
    if (wish === undefined) return;
    this.fetching.set(tenant, wish.done);
    try {
      await this.fetch(tenant, wish);
    } finally {
      if (this.fetching.get(tenant) === wish.done) this.fetching.delete(tenant);
    }
  }

  private async fetch(tenant: string, wish: Wish): Promise<void> {
    const { seen, hardBytes } = wish;
    const wantBytes = Math.min(
      wish.wantBytes + wish.moreBytes,
      Math.max(hardBytes, wish.wantBytes),
    );
    const chunkBytes = Math.min(this.chunkBytes, Math.floor(hardBytes / LARGEST_SHARE));
    const reply = await this.parts.bank.grant({ tenant, seen, wantBytes, hardBytes, chunkBytes });
    if (reply.outcome === 'dropping') return this.finishDrop(tenant, reply.generation);
    if (reply.outcome === 'lost') return this.lost(tenant, seen);
    await this.give(tenant, seen, reply.grant);
    if (reply.grant.bytes >= wish.wantBytes || (await this.fold(tenant))) return;
    throw nothingToGrant('The rest of the limit is held by writes that were admitted elsewhere');
  }

  /** @throws QuotaUnavailableError when the ledger must be rebuilt before it takes any. */
  private async give(tenant: string, seen: number, grant: Grant): Promise<void> {
    const { grants } = this.parts;
    let nonce: string | undefined;
    if (seen === 0) {
      nonce = randomUUID();
      const begun = await grants.beginRebuild(tenant, grant.generation, nonce, seen);
      if (begun === 'known') return;
      if (begun === 'other-life') return this.dropOldLife(tenant);
    }
    const taken = await grants.takeGrant(tenant, grant, nonce);
    if (taken === 'other-life') return this.dropOldLife(tenant);
    if (taken !== 'lost') return;
    this.beginRebuild(tenant);
    throw beingRebuilt();
  }

  /** The ledger has a life of the tenant that the bank has ended; generations are never used twice. */
  private async dropOldLife(tenant: string): Promise<void> {
    const { bank, grants, ledger } = this.parts;
    const [account, standing] = [await bank.standing(tenant), await grants.ledgerStanding(tenant)];
    if (account?.generation !== standing.generation) await ledger.drop(tenant);
  }

  /** @throws QuotaUnavailableError, unless the ledger has got a grant meanwhile. */
  private async lost(tenant: string, seen: number): Promise<void> {
    for (let look = 0; look < FIRST_GRANT_LOOKS; look += 1) {
      const { seq } = await this.parts.grants.ledgerStanding(tenant);
      if (seq > seen) return;
      // Another instance may be bringing the tenant's first grant.
      if (seen === 0) await pause(FIRST_GRANT_MS);
    }
    this.beginRebuild(tenant);
    throw beingRebuilt();
  }

  /** In the background; the bank decides meanwhile. */
  private beginRebuild(tenant: string): void {
    const { truth, observer } = this.parts;
    if (this.rebuilding.has(tenant)) return;
    observer.emit('error', { operation: 'ledger', error: 'usage_lost', tenant });
    if (truth === undefined) return;
    this.rebuild(tenant, (name) => truth.rebuild(name)).catch((error: unknown) => {
      observer.emit('error', errorEvent('rebuild', error, tenant));
    });
  }

  private async foldAll(tenant: string): Promise<boolean> {
    const { bank, grants, observer } = this.parts;
    let folded = false;
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const batch = await bank.beginFold(tenant, BATCH);
      if (batch === null) return folded;
      const reply = await grants.fold(tenant, batch);
      if (reply === 'done') {
        await this.compare(tenant, batch);
        await bank.endFold(tenant, batch.number);
        [folded, tries] = [true, 0];
        observer.emit('folded', { tenant, bytes: batch.bytes, items: batch.items.length });
      } else if (reply === 'other-life') {
        await this.dropOldLife(tenant);
      } else if (!(await this.firstGrant(tenant))) {
        return folded;
      }
    }
    return folded;
  }

  /**
   * A write that went past the bank meanwhile may be the later one, and one that was undone may have
   * reached the bank after it. Before the batch ends: nobody is refused for bytes that nobody has
   * looked for, and whoever folds it again looks for them.
   *
   * @throws QuotaUnavailableError when the storage cannot say
   */
  private async compare(tenant: string, batch: FoldBatch): Promise<void> {
    const keys = batch.items.map(({ key }) => key);
    if (keys.length === 0) return;
    try {
      await this.parts.truth?.verify(tenant, keys);
    } catch (cause) {
      if (cause instanceof QuotaUnavailableError) throw cause;
      throw new QuotaUnavailableError('fold', { applied: 'no', contact: 'answered', cause });
    }
  }

  /** For a ledger that has never had one. False: it has lost its data, and is rebuilt first. */
  private async firstGrant(tenant: string): Promise<boolean> {
    const { seq: seen } = await this.parts.grants.ledgerStanding(tenant);
    const limits = { wantBytes: 0, hardBytes: 0, chunkBytes: 0 };
    const reply = await this.parts.bank.grant({ tenant, seen, ...limits });
    if (reply.outcome === 'granted') await this.give(tenant, seen, reply.grant);
    else if (reply.outcome === 'lost') this.beginRebuild(tenant);
    return reply.outcome === 'granted';
  }
}

function beingRebuilt(): QuotaUnavailableError {
  return nothingToGrant('The ledger has lost what it knew of the tenant, and is being rebuilt');
}

function nothingToGrant(reason: string): QuotaUnavailableError {
  return new QuotaUnavailableError('grant', {
    ...{ applied: 'no', contact: 'answered' },
    cause: new Error(reason),
  });
}

/** One at a time for each tenant, shared by all who ask meanwhile. */
function once<T>(
  running: Map<string, Promise<T>>,
  tenant: string,
  work: () => Promise<T>,
): Promise<T> {
  const present = running.get(tenant);
  if (present !== undefined) return present;
  const done = work().finally(() => running.delete(tenant));
  running.set(tenant, done);
  return done;
}
