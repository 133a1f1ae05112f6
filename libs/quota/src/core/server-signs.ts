export interface ServerSigns {
  /** Another server answers now in the place of one before; its identity names this term of it. */
  changed(identity: string): void;
}

/** Finds out when the ledger is another server's, which may lack the latest writes. */
export interface LedgerWatch {
  start(signs: ServerSigns): void;
  stop(): void;
}
