import { TENANT_ID_PATTERN } from '@app/quota';
import { z } from 'zod';
import { invalidInputs } from '../http/problem';

/** A whole number in plain digits. */
export function whole(min: number, max: number): z.ZodType<number> {
  const error = `a whole number, ${min} to ${max}`;
  return z
    .string({ error })
    .regex(/^(0|[1-9]\d{0,15})$/, { error })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error });
}

const PERCENT = 'a number, 0 to 100, with at most two decimals';
export const percent = z
  .string({ error: PERCENT })
  .regex(/^(0|[1-9]\d{0,2})(\.\d{1,2})?$/, { error: PERCENT })
  .transform(Number)
  .refine((value) => value <= 100, { error: PERCENT });

export const tenant = z
  .string({ error: 'a tenant id' })
  .regex(TENANT_ID_PATTERN, { error: 'a tenant id' });

/** Items of a page at most. */
export const MAX_PAGE = 100;
export const limit = whole(1, MAX_PAGE).default(MAX_PAGE);

/** A parameter that is spelt wrong must not silently mean nothing. */
export function strict<T extends z.ZodRawShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  const names = Object.keys(shape).join(', ');
  return z.strictObject(shape, { error: () => `only the parameters ${names}` });
}

/** @throws ProblemException (400) naming every parameter that is wrong. */
export function parseQuery<T>(schema: z.ZodType<T>, query: unknown): T {
  const parsed = schema.safeParse({ ...(query as object) });
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({
    where: path.join('.') || 'query',
    allowed: message,
  }));
  throw invalidInputs(errors, 'The query has parameters that are not usable.');
}
