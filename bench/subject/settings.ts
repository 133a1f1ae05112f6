import type { Adapter } from '../variants';

/** What a subject process is told at its start, as JSON in the variable `SUBJECT`. */
export interface SubjectSettings {
  readonly variant: string;
  readonly adapter: Adapter;
  readonly redisUrl?: string;
  readonly databaseUrl?: string;
  /** Tenants whose quota is kept in memory at most; the library's default unless set. */
  readonly quotaCacheMaxTenants?: number;
}

/** Windows and limits of the limiters: so high that nothing is ever refused. */
export const LIMIT = 1_000_000_000;

/**
 * @nestjs/throttler in memory keeps every hit of its window and looks at all of them for each request.
 * With a limit that is never reached a longer window would hold hits that no real limit lets happen.
 */
export const WINDOW_MS = 1_000;

/** The largest body that is sent. */
export const MAX_BODY_BYTES = 11 * 1_048_576;
