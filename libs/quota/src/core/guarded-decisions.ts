import type { Breaker } from './breaker';
import {
  DecisionStore,
  type DecisionBounds,
  type DecisionCoverage,
  type DecisionPage,
  type DecisionRecord,
  type Span,
  type TenantImpact,
} from './decision-store';

/** The record of decisions behind a breaker: while its store is away, every operation fails at once. */
export class GuardedDecisionStore extends DecisionStore {
  constructor(
    private readonly inner: DecisionStore,
    private readonly breaker: Breaker,
  ) {
    super();
  }

  write(records: readonly DecisionRecord[], missed: number): Promise<void> {
    return this.breaker.run('record', () => this.inner.write(records, missed));
  }

  trim(bounds: DecisionBounds): Promise<boolean> {
    return this.breaker.run('record', () => this.inner.trim(bounds));
  }

  page(query: Parameters<DecisionStore['page']>[0]): Promise<DecisionPage> {
    return this.breaker.run('simulate', () => this.inner.page(query));
  }

  coverage(span: Span): Promise<DecisionCoverage> {
    return this.breaker.run('impact', () => this.inner.coverage(span));
  }

  impact(
    query: Parameters<DecisionStore['impact']>[0],
  ): Promise<{ tenants: TenantImpact[]; next: string | null }> {
    return this.breaker.run('impact', () => this.inner.impact(query));
  }
}
