/**
 * Limits for the pool of connections, to be spread into a DataSource's `extra`. pg's own defaults
 * wait forever: for a free connection, for a server that accepts and then says nothing, for a
 * statement. With these every call ends within about 8 s, whatever the server does.
 */
export const quotaPostgresOptions = {
  /** ms for a free connection of the pool, the making of a new one included. */
  connectionTimeoutMillis: 2_000,
  /** ms after which the server gives a statement up, waiting for locks included. */
  statement_timeout: 5_000,
  /**
   * ms after which this side stops waiting. Above `statement_timeout`, so that a server that lives
   * answers first: its "cancelled" says that nothing was done, while silence says nothing.
   */
  query_timeout: 6_000,
  /** ms after which the server ends a transaction whose client has gone silent, and its locks. */
  idle_in_transaction_session_timeout: 10_000,
  /**
   * Connections. Quotas are read once a tenant and cache lifetime, and a change takes a few ms; ten
   * instances of ten stay below PostgreSQL's own limit of 100 with nothing to spare, so eight.
   */
  max: 8,
  /** Lets the kernel find out about a peer that vanished without a word, behind a firewall say. */
  keepAlive: true,
} as const;
