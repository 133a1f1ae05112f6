import type { QuotaTracer } from '../../core';
import { OtelTracer } from './otel-tracer';

/**
 * A tracer where `@opentelemetry/api` is installed, and null where it is not: the package is an
 * optional peer. Looked for once, at the start.
 */
export async function loadTracer(options: {
  readonly tenantIds: boolean;
}): Promise<QuotaTracer | null> {
  try {
    return new OtelTracer(await import('@opentelemetry/api'), options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') return null;
    throw error;
  }
}
