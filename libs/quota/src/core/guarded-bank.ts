import {
  QuotaBank,
  type BankStanding,
  type FoldBatch,
  type Grant,
  type GrantedLedger,
  type GrantedTenant,
  type GrantReply,
  type GrantRequest,
  type JournalDepth,
  type LedgerStanding,
} from './bank';
import type { Breaker } from './breaker';

/** The bank behind the breaker of its store. */
export class GuardedBank extends QuotaBank {
  constructor(
    private readonly inner: QuotaBank,
    private readonly breaker: Breaker,
  ) {
    super();
  }

  grant(request: GrantRequest): Promise<GrantReply> {
    return this.breaker.run('grant', () => this.inner.grant(request));
  }

  lower(tenant: string, grant: Grant): Promise<boolean> {
    return this.breaker.run('grant-lower', () => this.inner.lower(tenant, grant));
  }

  lowerable(after: string | null, limit: number): Promise<GrantedTenant[]> {
    return this.breaker.run('grant-lowerable', () => this.inner.lowerable(after, limit));
  }

  beginFold(tenant: string, max: number): Promise<FoldBatch | null> {
    return this.breaker.run('fold-begin', () => this.inner.beginFold(tenant, max));
  }

  endFold(tenant: string, number: number): Promise<void> {
    return this.breaker.run('fold-end', () => this.inner.endFold(tenant, number));
  }

  dropped(tenant: string, generation: string): Promise<void> {
    return this.breaker.run('dropped', () => this.inner.dropped(tenant, generation));
  }

  standing(tenant: string): Promise<BankStanding | null> {
    return this.breaker.run('bank-standing', () => this.inner.standing(tenant));
  }

  pending(after: string | null, limit: number): Promise<string[]> {
    return this.breaker.run('fold-pending', () => this.inner.pending(after, limit));
  }

  journal(most: number): Promise<JournalDepth> {
    return this.breaker.run('journal', () => this.inner.journal(most));
  }
}

/** What a ledger under a bank does beside its operations, behind the breaker of its store. */
export class GuardedGrants implements GrantedLedger {
  constructor(
    private readonly inner: GrantedLedger,
    private readonly breaker: Breaker,
  ) {}

  ledgerStanding(tenant: string): Promise<LedgerStanding> {
    return this.breaker.run('ledger-standing', () => this.inner.ledgerStanding(tenant));
  }

  beginRebuild(
    tenant: string,
    generation: string,
    nonce: string,
    seen: number,
  ): Promise<'begun' | 'known' | 'other-life'> {
    return this.breaker.run('rebuild-begin', () =>
      this.inner.beginRebuild(tenant, generation, nonce, seen),
    );
  }

  takeGrant(
    tenant: string,
    grant: Grant,
    nonce?: string,
  ): Promise<'taken' | 'known' | 'lost' | 'other-life'> {
    return this.breaker.run('grant-take', () => this.inner.takeGrant(tenant, grant, nonce));
  }

  lowerGrant(tenant: string, chunkBytes: number): Promise<Grant | null> {
    return this.breaker.run('grant-lower', () => this.inner.lowerGrant(tenant, chunkBytes));
  }

  fold(tenant: string, batch: FoldBatch): Promise<'done' | 'lost' | 'other-life'> {
    return this.breaker.run('fold', () => this.inner.fold(tenant, batch));
  }
}
