import { CreateCacheEntries1767312000001 } from './1767312000001-create-cache-entries';
import { CreateQuotaEvictions1767312000002 } from './1767312000002-create-quota-evictions';

/** The application's migrations, after those of the library. */
export const migrations = [CreateCacheEntries1767312000001, CreateQuotaEvictions1767312000002];
