import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { readBody, type QuotaRequest } from '@app/quota';
import type { z } from 'zod';
import { invalidInput, invalidInputs } from './problem';

/** Nothing that is sent as JSON here is long. */
const MAX_JSON_BYTES = 64 * 1_024;

const bodyOf = createParamDecorator(
  async (schema: () => z.ZodType, context: ExecutionContext): Promise<unknown> => {
    const request = context.switchToHttp().getRequest<QuotaRequest>();
    const bytes = await readBody(request, { maxBytes: MAX_JSON_BYTES });
    return parseJsonBody(schema(), bytes);
  },
);

/** The request's body as JSON of this form; no body parser is needed, or wanted, before it. */
export const JsonBody = (schema: z.ZodType): ParameterDecorator =>
  // As a function, since Nest takes an object with a method `transform` for a pipe.
  bodyOf(() => schema);

/** @throws ProblemException (400) naming every field that is wrong. */
export function parseJsonBody<T>(schema: z.ZodType<T>, bytes: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalidInput('body', 'a JSON object in UTF-8', 'The body is not JSON.');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // What a field may hold is said once, however much of that its value misses.
  const allowed = new Map(
    parsed.error.issues.map(({ path, message }) => [path.join('.') || 'body', message]),
  );
  const errors = [...allowed].map(([where, message]) => ({ where, allowed: message }));
  throw invalidInputs(errors, 'The body has fields that are not usable.');
}
