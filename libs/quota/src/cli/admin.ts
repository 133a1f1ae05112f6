export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * What the commands ask for, over the admin API or of the stores. Answers are those of the admin API;
 * answers.ts checks what is read of them.
 *
 * Every method throws CliError with the exit code that fits.
 */
export interface Admin {
  getQuota(tenant: string): Promise<unknown>;
  /** The body of `PUT /admin/quotas/:tenantId`, version included. */
  setQuota(tenant: string, body: object): Promise<unknown>;
  /** A page of quotas, from `after` on. */
  listQuotas(query: Query): Promise<unknown>;
  explain(tenant: string): Promise<unknown>;
  /** @param ledgerOnly true: recount the ledger's own entries, and ask no storage */
  reconcile(tenant: string, ledgerOnly: boolean): Promise<unknown>;
  evict(tenant: string, body: object): Promise<unknown>;

  rollout(): Promise<unknown>;
  /** The body of `PUT /admin/rollout`. */
  changeRollout(body: object): Promise<unknown>;
  resetRollout(): Promise<unknown>;
  /** A page of changes, from `before` back. */
  rolloutHistory(query: Query): Promise<unknown>;
  impact(query: Query): Promise<unknown>;

  simulate(query: Query): Promise<unknown>;
  /** A page of usage, from `after` on. */
  usage(query: Query): Promise<unknown>;
  /** All of it as CSV. */
  usageCsv(query: Query): Promise<AsyncIterable<Uint8Array>>;

  /** Lets go of every connection. */
  close(): Promise<void>;
}
