import { z } from 'zod';

/** The environment as it comes: names to text. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A default that follows from other settings. */
export interface DependentDefault {
  /** In words, for the documentation. */
  readonly note: string;
  readonly of: (env: Environment) => string;
}

/** One setting: how its text is read, and all that is said of it anywhere. */
export interface Setting<T> {
  readonly schema: z.ZodType<T>;
  /** One line for `.env.example` and the documentation. */
  readonly about: string;
  /** What may be given, for the error message and the documentation. */
  readonly allowed: string;
  /**
   * The text taken when nothing is set: always the same, or following from the rest. Absent: the
   * setting may stay without a value. A blank counts as nothing only where no text is always taken.
   */
  readonly default?: string | DependentDefault;
  /** Never printed. */
  readonly secret?: boolean;
}

type About = Omit<Setting<unknown>, 'schema' | 'allowed'>;

/** true, false, 1 or 0; nothing else, so that no typing error switches something on. */
export function toggle(about: About): Setting<boolean> {
  const schema = z.enum(['true', 'false', '1', '0']).transform((v) => v === 'true' || v === '1');
  return { ...about, schema, allowed: 'true, false, 1 or 0' };
}

/** A whole number in plain decimal digits: no sign, blank, exponent, hexadecimal or leading zero. */
export function whole(min: number, max: number, about: About): Setting<number> {
  const schema = z
    .string()
    .regex(/^(0|[1-9]\d{0,15})$/)
    .transform(Number)
    .pipe(z.int().min(min).max(max));
  return { ...about, schema, allowed: `a whole number, ${min} to ${max}` };
}

/** 0 to 100 in plain decimal digits, with at most two decimals. */
export function percentage(about: About): Setting<number> {
  const schema = z
    .string()
    .regex(/^(0|[1-9]\d{0,2})(\.\d{1,2})?$/)
    .transform(Number)
    .pipe(z.number().max(100));
  return { ...about, schema, allowed: 'a number, 0 to 100, with at most two decimals' };
}

/** One of a few words. */
export function choice<const T extends string>(words: readonly T[], about: About): Setting<T> {
  return { ...about, schema: z.enum(words), allowed: words.join(', ') };
}

/** Text that matches a pattern. */
export function text(allowed: string, pattern: RegExp, about: About): Setting<string> {
  return { ...about, schema: z.string().regex(pattern), allowed };
}

/** A URL of one of these schemes. Secret, since it may hold a password. */
export function url(schemes: readonly string[], about: About): Setting<string> {
  const ok = (value: string): boolean =>
    URL.canParse(value) && schemes.includes(new URL(value).protocol.slice(0, -1));
  const allowed = `a URL of the form ${schemes.map((scheme) => `${scheme}://…`).join(' or ')}`;
  return { ...about, schema: z.string().refine(ok), allowed, secret: true };
}

/** A setting that may stay without a value. */
export function optional<T>(setting: Setting<T>): Setting<T | undefined> {
  return { ...setting, schema: setting.schema.optional() };
}

/** A comma list; blanks around its items don't count. */
export function list(allowed: string, item: RegExp, about: About): Setting<readonly string[]> {
  const schema = z
    .string()
    .transform((value) => value.split(',').flatMap((part) => part.trim() || []))
    .pipe(z.array(z.string().regex(item)));
  return { ...about, schema, allowed };
}
