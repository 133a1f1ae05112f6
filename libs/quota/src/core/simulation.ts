import { QuotaUnavailableError } from './errors';
import type {
  DecisionCoverage,
  DecisionCursor,
  DecisionPage,
  DecisionStore,
  Span,
} from './decision-store';
import { TenantReplay, type ProposedLimit, type ReplayedRefusal } from './replay';
import { rolloutBucket } from './rollout';

export interface SimulationQuery {
  readonly span: Span;
  /** In bytes, the overage included; null: each write's own limit of that time. */
  readonly hardBytes: ProposedLimit;
  /** Tenants whose place in the rollout is below this are enforced, the others not. */
  readonly percent: number;
  /** Only this tenant. */
  readonly tenant?: string;
  /** Goes on after this tenant. */
  readonly after?: string;
  /** Tenants that are listed at most, those with the most refused bytes. */
  readonly limit: number;
}

/** What a tenant would have met. Bytes, and ms since the epoch. */
export interface SimulatedTenant {
  readonly tenant: string;
  readonly writes: number;
  readonly refusals: number;
  readonly refusedBytes: number;
  readonly furthestBeyondBytes: number;
  readonly firstAt: number;
  readonly lastAt: number;
  /** The first of them: ten, or a hundred where one tenant was asked for. */
  readonly first: readonly ReplayedRefusal[];
}

export interface SimulationReport {
  readonly rows: number;
  readonly tenants: number;
  /** Those of them that the percentage enforces. */
  readonly enforcedTenants: number;
  readonly refusedTenants: number;
  readonly refusals: number;
  readonly refusedBytes: number;
  readonly listed: readonly SimulatedTenant[];
  /** It came to its bound of rows or time: ask again after this tenant. Null: it came to the end. */
  readonly next: string | null;
  readonly coverage: DecisionCoverage;
}

/** Refused writes that are told one by one, of each of many tenants and of one alone. */
const SHOWN_OF_MANY = 10;
const SHOWN_OF_ONE = 100;

/** Small, since all of a page is read in one turn of the event loop, beside requests. */
const PAGE = 500;
const MAX_ROWS = 1_000_000;
const MAX_MS = 15_000;

/** What a proposed limit would have refused of the recorded writes. One at a time in an instance. */
export class Simulation {
  private running = false;

  constructor(
    private readonly store: DecisionStore,
    private readonly maxRows: number = MAX_ROWS,
  ) {}

  /**
   * Goes through the record page by page; ends at a million rows or after 15 s, and says so.
   *
   * @throws QuotaUnavailableError when the record cannot be read, or another one is under way
   */
  async run(query: SimulationQuery): Promise<SimulationReport> {
    if (this.running) {
      const options = { applied: 'no', contact: 'answered', retryAfterSeconds: 5 } as const;
      throw new QuotaUnavailableError('simulate', options);
    }
    this.running = true;
    try {
      const coverage = await this.store.coverage(query.span);
      return { ...(await this.walk(query)), coverage };
    } finally {
      this.running = false;
    }
  }

  private async walk(query: SimulationQuery): Promise<Omit<SimulationReport, 'coverage'>> {
    const end = performance.now() + MAX_MS;
    const tally = new Tally(query);
    let after = query.after === undefined ? null : endOf(query.after);
    do {
      const { span, tenant } = query;
      const limit = Math.min(PAGE, this.maxRows - tally.rows);
      const asked = { span, after, limit, ...(tenant !== undefined && { tenant }) };
      const page: DecisionPage = await this.store.page(asked);
      for (const row of page.rows) tally.add(row);
      after = page.next;
    } while (after !== null && tally.rows < this.maxRows && performance.now() < end);
    return { ...tally.report(), next: after === null ? null : after.tenant };
  }
}

/** Beyond every row of the tenant. */
function endOf(tenant: string): DecisionCursor {
  return { tenant, at: null, id: 0 };
}

interface Counted {
  tenant: string;
  writes: number;
  refusals: number;
  refusedBytes: number;
  furthestBeyondBytes: number;
  firstAt: number;
  lastAt: number;
  first: ReplayedRefusal[];
}

/** Adds up what the replay of one tenant after the other gives; holds the listed ones and no more. */
class Tally {
  rows = 0;
  private readonly sum = { tenants: 0, enforcedTenants: 0, refusedTenants: 0 };
  private refusals = 0;
  private refusedBytes = 0;
  private listed: Counted[] = [];
  private current: { counted: Counted; replay: TenantReplay | null } | undefined;

  constructor(private readonly query: SimulationQuery) {}

  add(row: DecisionPage['rows'][number]): void {
    this.rows += 1;
    const { counted, replay } = this.of(row.tenant);
    counted.writes += 1;
    const refusal = replay?.next(row) ?? null;
    if (refusal === null) return;
    this.refusals += 1;
    this.refusedBytes += refusal.bytes;
    if (counted.refusals === 0) counted.firstAt = refusal.at;
    counted.refusals += 1;
    counted.refusedBytes += refusal.bytes;
    counted.lastAt = refusal.at;
    counted.furthestBeyondBytes = Math.max(counted.furthestBeyondBytes, refusal.beyondBytes);
    const shown = this.query.tenant === undefined ? SHOWN_OF_MANY : SHOWN_OF_ONE;
    if (counted.first.length < shown) counted.first.push(refusal);
  }

  report(): Omit<SimulationReport, 'coverage' | 'next'> {
    this.endTenant();
    const { rows, refusals, refusedBytes } = this;
    return { rows, ...this.sum, refusals, refusedBytes, listed: this.sorted() };
  }

  private of(tenant: string): { counted: Counted; replay: TenantReplay | null } {
    if (this.current?.counted.tenant === tenant) return this.current;
    this.endTenant();
    const { percent, hardBytes } = this.query;
    const enforced = percent >= 100 || rolloutBucket(tenant) < percent;
    this.sum.tenants += 1;
    if (enforced) this.sum.enforcedTenants += 1;
    const zero = { writes: 0, refusals: 0, refusedBytes: 0, furthestBeyondBytes: 0 };
    this.current = {
      counted: { tenant, ...zero, firstAt: 0, lastAt: 0, first: [] },
      replay: enforced ? new TenantReplay(hardBytes) : null,
    };
    return this.current;
  }

  private endTenant(): void {
    const { counted } = this.current ?? {};
    this.current = undefined;
    if (counted === undefined || counted.refusals === 0) return;
    this.sum.refusedTenants += 1;
    this.listed.push(counted);
    // Sorted now and then, not for every tenant.
    if (this.listed.length >= 2 * this.query.limit) this.listed = this.sorted();
  }

  private sorted(): Counted[] {
    const most = this.listed.toSorted((a, b) => b.refusedBytes - a.refusedBytes);
    return most.slice(0, this.query.limit);
  }
}
