import type * as api from '@opentelemetry/api';
import type { QuotaSpan, QuotaTracer, SpanFacts, SpanName } from '../../core';

export type OpenTelemetryApi = Pick<typeof api, 'trace' | 'SpanStatusCode'>;

const NAME = 'nestjs-cache-quota';

/** Spans of OpenTelemetry, as long as a provider is registered; before and after that, none. */
export class OtelTracer implements QuotaTracer {
  constructor(
    private readonly otel: OpenTelemetryApi,
    private readonly options: { readonly tenantIds: boolean },
  ) {}

  get active(): boolean {
    return this.tracer() !== undefined;
  }

  async run<T>(
    name: SpanName,
    { tenant, bytes }: { readonly tenant: string; readonly bytes: number },
    work: (span: QuotaSpan) => Promise<T>,
  ): Promise<T> {
    const tracer = this.tracer();
    if (tracer === undefined) return work(NO_SPAN);
    const attributes = {
      'quota.bytes': bytes,
      ...(this.options.tenantIds && { 'quota.tenant': tenant }),
    };
    return tracer.startActiveSpan(name, { attributes }, async (span) => {
      try {
        return await work({ add: (facts) => span.setAttributes(attributesOf(facts)) });
      } catch (error) {
        span.recordException(error instanceof Error ? error : String(error));
        span.setStatus({ code: this.otel.SpanStatusCode.ERROR });
        throw error;
      } finally {
        span.end();
      }
    });
  }

  /**
   * The API hands out a stand-in where nobody has registered a provider. Asked anew each time, since
   * one may be registered, or taken away, at any time; with none this is two look-ups.
   */
  private tracer(): api.Tracer | undefined {
    const provider: api.TracerProvider & Partial<StandIn> = this.otel.trace.getTracerProvider();
    return provider.getDelegateTracer === undefined
      ? provider.getTracer(NAME)
      : provider.getDelegateTracer(NAME);
  }
}

/** ProxyTracerProvider of the API, which says when there is nothing behind it. */
interface StandIn {
  getDelegateTracer(name: string): api.Tracer | undefined;
}

const NO_SPAN: QuotaSpan = { add: () => undefined };

function attributesOf(facts: SpanFacts): api.Attributes {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]: [string, string]) => [`quota.${name}`, value]),
  );
}
