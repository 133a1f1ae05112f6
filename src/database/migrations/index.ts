import { CreateCacheEntries1767312000001 } from './1767312000001-create-cache-entries';

/** The application's migrations, after those of the library. */
export const migrations = [CreateCacheEntries1767312000001];
