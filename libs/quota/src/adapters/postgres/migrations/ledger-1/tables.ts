/** 2^53 − 1, the largest sum: beyond it JavaScript does not count single bytes any more. */
export const MAX = '9007199254740991';

/**
 * 2^52, later than any real deadline. The deadline of a reservation that has lapsed and is kept is
 * this and a number: so it falls due no more, and the lapsed ones are listed as they lapsed.
 */
export const LAPSED = '4503599627370496';

const TENANT = (table: string): string => `
    tenant_id text COLLATE "C" NOT NULL
      CONSTRAINT ${table}_tenant_id_check
        CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$')`;

/**
 * The row that every operation locks. No index has a column of it that changes with every write, and
 * its pages stay half empty, so that its many new versions stay on one page and need no index
 * entries.
 *
 * granted_bytes of the limit are another ledger's to admit, and folding_bytes are on their way to it;
 * see docs/ledger.md, "Under a bank". pending is for the index of the few tenants that have anything
 * to fold or to drop.
 *
 * due_at is never later than the first expiry or deadline of the tenant (null: nothing falls due),
 * and marks_at says when to look for old marks: most operations need not look at all. unsettled are
 * the lives of the tenant that were ended, and reservations to keep that lapsed without a key, which
 * nobody has looked after since.
 *
 * lapsed reservations are held until they are let go. lapsed_bytes is the sum of their sizes, which
 * may be far more than they hold, as those of one key are not added up; hence numeric. lapse_number
 * is the last one's.
 */
const LEDGER = `
  CREATE TABLE quota_ledger (${TENANT('quota_ledger')}
      CONSTRAINT quota_ledger_pkey PRIMARY KEY,
    generation text NOT NULL,
    stamp bigint NOT NULL DEFAULT 0,
    committed bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    unkeyed bigint NOT NULL DEFAULT 0,
    unkeyed_reserved bigint NOT NULL DEFAULT 0,
    granted_bytes bigint NOT NULL DEFAULT 0,
    grant_seq bigint NOT NULL DEFAULT 0,
    grant_chunk bigint NOT NULL DEFAULT 0,
    confirmed_seq bigint NOT NULL DEFAULT 0,
    folding boolean NOT NULL DEFAULT false,
    fold_number bigint NOT NULL DEFAULT 0,
    folding_bytes bigint NOT NULL DEFAULT 0,
    folding_unkeyed bigint NOT NULL DEFAULT 0,
    folding_refunds bigint NOT NULL DEFAULT 0,
    refunds bigint NOT NULL DEFAULT 0,
    has_removals boolean NOT NULL DEFAULT false,
    drop_pending boolean NOT NULL DEFAULT false,
    unsettled bigint NOT NULL DEFAULT 0
      CONSTRAINT quota_ledger_unsettled_check CHECK (unsettled >= 0),
    lapsed bigint NOT NULL DEFAULT 0,
    lapsed_bytes numeric NOT NULL DEFAULT 0,
    lapse_number bigint NOT NULL DEFAULT 0,
    CONSTRAINT quota_ledger_lapsed_check
      CHECK (lapsed >= 0 AND lapsed_bytes >= 0 AND lapse_number BETWEEN 0 AND ${LAPSED} - 1),
    pending boolean NOT NULL GENERATED ALWAYS AS
      (drop_pending OR folding OR has_removals OR committed > 0 OR refunds > 0) STORED,
    due_at bigint,
    marks_at bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT quota_ledger_sums_check CHECK (
      stamp >= 0 AND committed >= 0 AND reserved >= 0 AND unkeyed >= 0 AND unkeyed_reserved >= 0
      AND granted_bytes >= 0 AND committed + reserved + folding_bytes <= ${MAX}),
    CONSTRAINT quota_ledger_bank_check CHECK (
      granted_bytes <= ${MAX} AND grant_seq >= 0 AND grant_chunk >= 0 AND confirmed_seq >= 0
      AND fold_number >= 0 AND folding_bytes >= 0 AND folding_refunds >= 0
      AND refunds BETWEEN 0 AND ${MAX} AND folding_unkeyed BETWEEN 0 AND folding_bytes
      AND (folding OR folding_bytes + folding_refunds = 0))
  ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)`;

const ENTRIES = `
  CREATE TABLE quota_ledger_entries (${TENANT('quota_ledger_entries')},
    key bytea NOT NULL
      CONSTRAINT quota_ledger_entries_key_check CHECK (octet_length(key) BETWEEN 1 AND 512),
    bytes bigint NOT NULL
      CONSTRAINT quota_ledger_entries_bytes_check CHECK (bytes BETWEEN 0 AND ${MAX}),
    expires_at bigint,
    version bigint NOT NULL DEFAULT 0
      CONSTRAINT quota_ledger_entries_version_check CHECK (version >= 0),
    CONSTRAINT quota_ledger_entries_pkey PRIMARY KEY (tenant_id, key)
  ) WITH (fillfactor = 90)`;

/**
 * Open reservations, those to keep also when they have lapsed if they have a key, and for ten seconds the marks of what
 * was settled; see docs/ledger.md.
 */
const HOLDS = `
  CREATE TABLE quota_ledger_holds (${TENANT('quota_ledger_holds')},
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL
      CONSTRAINT quota_ledger_holds_id_check CHECK (octet_length(id) BETWEEN 1 AND 128),
    state text COLLATE "C" NOT NULL,
    key bytea
      CONSTRAINT quota_ledger_holds_key_check CHECK (octet_length(key) BETWEEN 1 AND 512),
    bytes bigint NOT NULL
      CONSTRAINT quota_ledger_holds_bytes_check CHECK (bytes BETWEEN 0 AND ${MAX}),
    decision smallint
      CONSTRAINT quota_ledger_holds_decision_check CHECK (decision BETWEEN 0 AND 2),
    reply_flag boolean,
    reply_number bigint,
    deadline bigint NOT NULL,
    keep boolean NOT NULL DEFAULT false,
    CONSTRAINT quota_ledger_holds_pkey PRIMARY KEY (tenant_id, kind, id),
    CONSTRAINT quota_ledger_holds_state_check CHECK (
      CASE kind
        WHEN 'write' THEN state IN ('open', 'committed', 'refused', 'released')
        WHEN 'remove' THEN state = 'removed'
        WHEN 'refund' THEN state = 'refunded'
        ELSE false
      END)
  ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)`;

/** The highest version seen for a key while reservations of it were open; gone with the last one. */
const VERSIONS = `
  CREATE TABLE quota_ledger_versions (${TENANT('quota_ledger_versions')},
    key bytea NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT quota_ledger_versions_pkey PRIMARY KEY (tenant_id, key)
  )`;

/** Removals that another ledger has to hear of. */
const REMOVALS = `
  CREATE TABLE quota_ledger_removals (${TENANT('quota_ledger_removals')},
    key bytea NOT NULL,
    version bigint NOT NULL
      CONSTRAINT quota_ledger_removals_version_check CHECK (version >= 0),
    CONSTRAINT quota_ledger_removals_pkey PRIMARY KEY (tenant_id, key)
  )`;

/** The batch under way, of which a tenant has one at most; without bytes: a removal. */
const FOLDS = `
  CREATE TABLE quota_ledger_folds (${TENANT('quota_ledger_folds')},
    key bytea NOT NULL,
    bytes bigint
      CONSTRAINT quota_ledger_folds_bytes_check CHECK (bytes BETWEEN 0 AND ${MAX}),
    expires_at bigint,
    version bigint NOT NULL
      CONSTRAINT quota_ledger_folds_version_check CHECK (version >= 0),
    CONSTRAINT quota_ledger_folds_pkey PRIMARY KEY (tenant_id, key)
  )`;

export const TABLES = [
  LEDGER,
  'CREATE INDEX quota_ledger_pending_idx ON quota_ledger (tenant_id) WHERE pending',
  ENTRIES,
  `CREATE INDEX quota_ledger_entries_expires_at_idx
    ON quota_ledger_entries (tenant_id, expires_at) WHERE expires_at IS NOT NULL`,
  HOLDS,
  `CREATE INDEX quota_ledger_holds_open_key_idx
    ON quota_ledger_holds (tenant_id, key, bytes) WHERE state = 'open'`,
  `CREATE INDEX quota_ledger_holds_open_deadline_idx
    ON quota_ledger_holds (tenant_id, deadline) WHERE state = 'open'`,
  `CREATE INDEX quota_ledger_holds_mark_deadline_idx
    ON quota_ledger_holds (tenant_id, deadline) WHERE state <> 'open'`,
  VERSIONS,
  REMOVALS,
  FOLDS,
];
