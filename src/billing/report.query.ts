import {
  parseCursor,
  parsePeriod,
  TENANT_ID_PATTERN,
  type UsageCursor,
  type UsagePeriod,
} from '@app/quota';
import { z } from 'zod';
import { invalidInput, invalidInputs } from '../http/problem';

export const MAX_PAGE = 500;
export const DEFAULT_PAGE = 100;
/** Three years: more than any retention that bills need, and a bound for one answer. */
export const MAX_DAYS = 1_100;

const DAY_MS = 86_400_000;

const day = (): z.ZodType<Date> => {
  const error = 'a day in UTC, YYYY-MM-DD';
  return z.string({ error }).transform((text, context) => {
    const parsed = parsePeriod('day', text);
    if (parsed !== null) return parsed;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
};

const word = <const T extends string>(words: readonly T[], fallback: NoInfer<T>): z.ZodType<T> =>
  z.enum(words, { error: words.join(', ') }).default(fallback);

const TENANT_ERROR = 'a tenant id';
const LIMIT_ERROR = `a whole number, 1 to ${MAX_PAGE}`;

const common = {
  from: day(),
  to: day(),
  tenant: z
    .string({ error: TENANT_ERROR })
    .regex(TENANT_ID_PATTERN, { error: TENANT_ERROR })
    .optional(),
  format: word(['json', 'csv'], 'json'),
  limit: z
    .string({ error: LIMIT_ERROR })
    .regex(/^[1-9]\d{0,2}$/, { error: LIMIT_ERROR })
    .transform(Number)
    .pipe(z.int().max(MAX_PAGE, { error: LIMIT_ERROR }))
    .optional(),
  after: z.string({ error: 'the `next` of the page before' }).optional(),
};

const usageSchema = z.strictObject({ ...common, by: word(['day', 'month', 'hour'], 'day') });
const metricsSchema = z.strictObject(common);

/** What a report covers, and how it is wanted. */
export interface ReportQuery {
  readonly by: UsagePeriod;
  readonly from: Date;
  /** The moment after the last day. */
  readonly until: Date;
  readonly tenant?: string;
  readonly format: 'json' | 'csv';
  /** Rows of a page of JSON. */
  readonly limit: number;
  readonly after?: UsageCursor;
  /** Names it, for a file. */
  readonly range: string;
}

/** @throws ProblemException (400) naming what is wrong and what is allowed. */
export function parseUsageQuery(query: unknown): ReportQuery {
  return complete(parse(usageSchema, query));
}

/** Of reports by the day. @throws ProblemException (400) naming what is wrong and what is allowed. */
export function parseMetricsQuery(query: unknown): ReportQuery {
  return complete({ ...parse(metricsSchema, query), by: 'day' });
}

function parse<T>(schema: z.ZodType<T>, query: unknown): T {
  const parsed = schema.safeParse({ ...(query as object) });
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? {
          where: issue.keys[0]?.slice(0, 40) ?? 'query',
          allowed: 'from, to, by (usage only), tenant, format, limit, after',
        }
      : { where: issue.path.join('.'), allowed: issue.message },
  );
  throw invalidInputs(errors, 'The query has parameters that are not usable.');
}

function complete(parsed: z.output<typeof usageSchema>): ReportQuery {
  const { by, from, to, tenant, format, limit, after } = parsed;
  if (to < from) throw invalidInput('to', 'the same day as `from` or a later one');
  const until = new Date(to.getTime() + DAY_MS);
  if (until.getTime() - from.getTime() > MAX_DAYS * DAY_MS) {
    throw invalidInput('to', `at most ${MAX_DAYS} days, \`from\` and \`to\` included`);
  }
  if (format === 'csv') {
    if (limit !== undefined) throw invalidInput('limit', 'none with format=csv, which gives all');
    if (after !== undefined) throw invalidInput('after', 'none with format=csv, which gives all');
  }
  const range = [from, to].map((date) => date.toISOString().slice(0, 10)).join('_');
  return {
    ...{ by, from, until, format, range, limit: limit ?? DEFAULT_PAGE },
    ...(tenant !== undefined && { tenant }),
    ...(after !== undefined && { after: cursorOf(by, after) }),
  };
}

function cursorOf(by: UsagePeriod, text: string): UsageCursor {
  const cursor = parseCursor(by, text);
  if (cursor !== null) return cursor;
  throw invalidInput('after', 'the `next` of the page before, with the same `by`');
}
