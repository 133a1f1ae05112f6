import type { PostgresQuotaBank } from '../adapters/postgres/postgres-quota-bank';
import type { PostgresUsageTracker } from '../adapters/postgres/postgres-usage-tracker';
import type { RedisUsageTracker } from '../adapters/redis/redis-usage-tracker';
import { BankDesk } from '../core/bank-desk';
import { BankReturns } from '../core/bank-returns';
import { BankUpkeep } from '../core/bank-upkeep';
import { BankedTracker } from '../core/banked-tracker';
import type { QuotaBank } from '../core/bank';
import type { Breaker } from '../core/breaker';
import { mbToBytes } from '../core/bytes';
import { GrantKeeper } from '../core/grant-keeper';
import { GuardedBank, GuardedGrants } from '../core/guarded-bank';
import { guardTracker } from '../core/guarded-tracker';
import type { UpkeepLease } from '../core/lease';
import type { QuotaObserver } from '../core/observer';
import { OutageBudget } from '../core/outage-budget';
import type { SharedQuotaCache } from '../core/quota-source';
import { StoredTruth } from '../core/stored-truth';
import { Reconciler } from '../core/reconciler';
import type { ResolvedQuotaOptions } from './options';

export interface BankParts {
  readonly redis: { readonly tracker: RedisUsageTracker; readonly breaker: Breaker };
  readonly postgres: {
    readonly tracker: PostgresUsageTracker;
    readonly bank: PostgresQuotaBank;
    readonly breaker: Breaker;
  };
  readonly shared: SharedQuotaCache;
  readonly lease: UpkeepLease;
  readonly observer: QuotaObserver;
}

/** Puts Redis under a bank in PostgreSQL. The reconciler and the bank need each other. */
export function buildBank(
  options: ResolvedQuotaOptions,
  { redis, postgres, shared, lease, observer }: BankParts,
): { tracker: BankedTracker; reconciler: Reconciler; bank: QuotaBank; upkeep: BankUpkeep } {
  const ledger = guardTracker(redis.tracker, redis.breaker);
  const grants = new GuardedGrants(redis.tracker, redis.breaker);
  const bankLedger = guardTracker(postgres.tracker, postgres.breaker);
  const bank = new GuardedBank(postgres.bank, postgres.breaker);
  const budgetMb = options.onOutage === 'allow' ? options.outageBudgetMb : 0;
  const budget = new OutageBudget(options.onOutage === 'allow', mbToBytes(budgetMb));
  const truth = new StoredTruth(() => reconciler);
  const stored = options.usageSource !== undefined && { truth };
  const tellLoss = (tenant: string) => shared.announceLoss(tenant);
  const keeper = new GrantKeeper(
    { ledger, grants, bank, lease, observer, tellLoss, ...stored },
    mbToBytes(options.grantChunkMb),
  );
  const desk = new BankDesk({ bank, bankLedger, budget, observer });
  const returns = new BankReturns({ ledger, bankLedger, desk, budget, ...stored });
  const server = redis.tracker;
  const parts = {
    ledger,
    server,
    grants,
    bankLedger,
    bank,
    keeper,
    desk,
    returns,
    budget,
    ...stored,
  };
  const tracker = new BankedTracker(parts);
  const reconciler: Reconciler = new Reconciler(tracker, options.usageSource ?? null, observer, {
    lease,
  });
  const reachable = (): boolean => redis.breaker.state === 'closed';
  const upkeep = new BankUpkeep({ tracker, keeper, bank, lease, observer, reachable });
  return { tracker, reconciler, bank, upkeep };
}
