import { InvalidWriteError } from './errors';
import { PLAN_NAMES } from './plans';
import {
  MAX_QUOTA_MB,
  type ChangeOptions,
  type QuotaFilter,
  type QuotaListQuery,
  type QuotaPatch,
} from './quota-store';
import { parseTenantId } from './tenant';

/** What a new row gets where the patch says nothing; the table's own defaults. */
export const QUOTA_ROW_DEFAULTS = {
  quotaMb: 100,
  overageAllowed: false,
  overageLimitMb: 10,
  mode: null,
} as const satisfies Required<QuotaPatch>;

/** Rows of one page at most. */
export const MAX_QUOTA_PAGE = 1_000;

/** The longest name of who asks for a change. */
export const MAX_ACTOR_LENGTH = 256;

interface Rule {
  readonly holds: (value: unknown) => boolean;
  readonly allowed: string;
}

const whole = (min: number, max: number, what: string): Rule => ({
  holds: (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
  allowed: `${what}, ${min} to ${max}`,
});

const PATCH_RULES: { readonly [K in keyof QuotaPatch]-?: Rule } = {
  quotaMb: whole(1, MAX_QUOTA_MB, 'a whole number of MB'),
  overageAllowed: { holds: (value) => typeof value === 'boolean', allowed: 'true or false' },
  overageLimitMb: whole(0, MAX_QUOTA_MB, 'a whole number of MB'),
  mode: {
    holds: (value) =>
      value === null || value === 'off' || value === 'shadow' || value === 'enforce',
    allowed: 'off, shadow, enforce or null',
  },
};

const FILTER_RULES: { readonly [K in keyof QuotaFilter]-?: Rule } = {
  over: PATCH_RULES.overageAllowed,
  nearPercent: {
    holds: (value) => typeof value === 'number' && value >= 0 && value <= 100,
    allowed: 'a percentage, 0 to 100',
  },
  mode: PATCH_RULES.mode,
  plan: {
    holds: (value) => PLAN_NAMES.some((name) => name === value),
    allowed: `one of ${PLAN_NAMES.join(', ')}`,
  },
};

const VERSION_RULE = whole(0, MAX_QUOTA_MB, 'the version the row was read at');
const STAMP_RULE = whole(0, Number.MAX_SAFE_INTEGER, 'the stamp of a change');
const LIMIT_RULE = whole(1, MAX_QUOTA_PAGE, 'a whole number of rows');

// A NUL has no place in PostgreSQL's text, and a lone surrogate none in UTF-8.
const ACTOR_RULE: Rule = {
  holds: (value) =>
    typeof value === 'string' &&
    value.length >= 1 &&
    value.length <= MAX_ACTOR_LENGTH &&
    !value.includes('\0') &&
    value.isWellFormed(),
  allowed: `a name of 1 to ${MAX_ACTOR_LENGTH} characters without NUL`,
};

/**
 * Checks a patch before any I/O; what is undefined is left out.
 *
 * @throws InvalidWriteError naming the field and what is allowed, an unknown field included.
 */
export function parseQuotaPatch(patch: QuotaPatch): QuotaPatch {
  const given = Object.entries(patch as Record<string, unknown>).filter(
    ([, value]) => value !== undefined,
  );
  for (const [name, value] of given) {
    if (!Object.hasOwn(PATCH_RULES, name)) {
      throw invalid(name.slice(0, 40), `one of ${Object.keys(PATCH_RULES).join(', ')}`);
    }
    check(name, value, PATCH_RULES[name as keyof QuotaPatch]);
  }
  return Object.fromEntries(given);
}

/** @throws InvalidWriteError naming the option and what is allowed. */
export function parseChangeOptions(options: ChangeOptions): ChangeOptions {
  check('actor', options.actor, ACTOR_RULE);
  if (options.expectedVersion !== undefined) {
    check('expectedVersion', options.expectedVersion, VERSION_RULE);
  }
  return options;
}

/** @throws InvalidWriteError, InvalidTenantError */
export function parsePageQuery(query: QuotaListQuery): {
  after: string;
  limit: number;
  filter: QuotaFilter;
} {
  const { after, limit, ...filter } = query;
  check('limit', limit, LIMIT_RULE);
  for (const name of Object.keys(FILTER_RULES) as (keyof QuotaFilter)[]) {
    if (filter[name] !== undefined) check(name, filter[name], FILTER_RULES[name]);
  }
  return { after: after === undefined ? '' : parseTenantId(after), limit, filter };
}

/** @throws InvalidWriteError */
export function parseChangesQuery(query: { before?: number; limit: number }): {
  before: number | null;
  limit: number;
} {
  const { before, limit } = query;
  check('limit', limit, LIMIT_RULE);
  if (before !== undefined) check('before', before, STAMP_RULE);
  return { before: before ?? null, limit };
}

function check(where: string, value: unknown, rule: Rule): void {
  if (!rule.holds(value)) throw invalid(where, rule.allowed);
}

function invalid(where: string, allowed: string): InvalidWriteError {
  return new InvalidWriteError(
    { where, allowed },
    `The ${where} of the change is not usable. Allowed: ${allowed}.`,
  );
}
