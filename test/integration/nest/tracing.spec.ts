import { Controller, Module, Put, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import {
  EnforceCacheQuota,
  keyFromParam,
  MemoryUsageTracker,
  QuotaChecker,
  QuotaModule,
  QuotaUnavailableError,
  type QuotaModuleOptions,
} from '@app/quota';
import { execFile } from 'node:child_process';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';

const MB = 1_048_576;
const TRACER = 'of-the-application';

@Controller()
class Files {
  @Put(':key')
  @EnforceCacheQuota({ key: keyFromParam('key') })
  put(): string {
    return 'stored';
  }
}

const exporter = new InMemorySpanExporter();
let app: INestApplication<Server> | undefined;

async function start(options: QuotaModuleOptions = {}): Promise<QuotaChecker> {
  @Module({
    imports: [QuotaModule.forRoot({ defaultQuotaMb: 1, ...options })],
    controllers: [Files],
  })
  class App {}
  const module = await Test.createTestingModule({ imports: [App] }).compile();
  app = module.createNestApplication<INestApplication<Server>>({ bodyParser: false });
  // As the instrumentation of an HTTP server does.
  app.use((_request: unknown, _response: unknown, next: () => void) => {
    trace.getTracer(TRACER).startActiveSpan('PUT', (span) => {
      next();
      span.end();
    });
  });
  await app.listen(0, '127.0.0.1');
  return app.get(QuotaChecker);
}

function register(): void {
  const spanProcessors = [new SimpleSpanProcessor(exporter)];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
}

async function put(bytes: number): Promise<number> {
  const { port } = app!.getHttpServer().address() as AddressInfo;
  const headers = { 'X-Tenant-ID': 'acme' };
  const init = { method: 'PUT', headers, body: Buffer.alloc(bytes) };
  const answer = await fetch(`http://127.0.0.1:${String(port)}/k`, init);
  await answer.text();
  return answer.status;
}

function named(name: string): ReadableSpan[] {
  return exporter.getFinishedSpans().filter((span) => span.name === name);
}

afterEach(async () => {
  await app?.close();
  app = undefined;
  exporter.reset();
  trace.disable();
  context.disable();
});

it('a write is a span to reserve and one to settle, below that of its request', async () => {
  register();
  await start();
  await expect(put(MB / 2)).resolves.toBe(200);
  const [request] = named('PUT');
  const common = {
    'quota.bytes': MB / 2,
    'quota.decision': 'ALLOW',
    'quota.mode': 'enforce',
    'quota.source': 'memory',
  };
  const [reserve, settle] = [named('quota.reserve'), named('quota.settle')];
  expect(reserve).toMatchObject([{ attributes: common }]);
  expect(settle).toMatchObject([
    { attributes: { ...common, 'quota.operation': 'commit', 'quota.outcome': 'committed' } },
  ]);
  for (const span of [...reserve, ...settle]) {
    expect(span.parentSpanContext?.spanId).toBe(request?.spanContext().spanId);
    expect(span.instrumentationScope.name).toBe('nestjs-cache-quota');
    expect(JSON.stringify(span.attributes)).not.toContain('acme');
  }
});

it('a refusal is a decision, no error, and settles nothing', async () => {
  register();
  await start();
  await expect(put(2 * MB)).resolves.toBe(413);
  const checker = app!.get(QuotaChecker);
  await checker.reserve({ tenant: 'acme', key: 'k', bytes: MB });
  exporter.reset();
  await checker.reserve({ tenant: 'acme', key: 'l', bytes: 1 });
  expect(named('quota.reserve')).toMatchObject([
    {
      attributes: { 'quota.decision': 'REJECT', 'quota.bytes': 1 },
      status: { code: SpanStatusCode.UNSET },
    },
  ]);
  expect(named('quota.settle')).toEqual([]);
});

it('the tenant is named when asked for, and a failure is told of', async () => {
  register();
  const tracker = new MemoryUsageTracker();
  const checker = await start({ tracker, traceTenantIds: true });
  const verdict = await checker.reserve({ tenant: 'acme', key: 'k', bytes: 1 });
  if (!verdict.admitted) throw new Error('It was refused.');
  await verdict.reservation.release();
  expect(named('quota.settle')).toMatchObject([
    { attributes: { 'quota.tenant': 'acme', 'quota.outcome': 'released' } },
  ]);
  jest.spyOn(tracker, 'reserve').mockRejectedValue(new QuotaUnavailableError('reserve'));
  exporter.reset();
  await expect(checker.reserve({ tenant: 'acme', bytes: 1 })).rejects.toThrow();
  expect(named('quota.reserve')).toMatchObject([
    {
      attributes: { 'quota.tenant': 'acme' },
      status: { code: SpanStatusCode.ERROR },
      events: [{ name: 'exception' }],
    },
  ]);
});

it('begins when a provider is registered, and is over when it is gone', async () => {
  await start();
  await put(1);
  register();
  await put(1);
  expect(named('quota.reserve')).toHaveLength(1);
  trace.disable();
  await put(1);
  expect(named('quota.reserve')).toHaveLength(1);
});

it('is not needed: where the package is not installed the library works without it', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(__dirname, 'without-opentelemetry.cjs'),
  ]);
  expect(JSON.parse(stdout)).toEqual({ asked: 1, decision: 'ALLOW', usedBytes: 5 });
});
