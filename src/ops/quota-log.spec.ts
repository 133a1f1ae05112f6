import { QuotaObserver } from '@app/quota';
import type { PinoLogger } from 'nestjs-pino';
import { QuotaLog } from './quota-log';

function setUp() {
  const lines: unknown[][] = [];
  const at =
    (level: string) =>
    (fields: object, event: string): void => {
      lines.push([level, event, fields]);
    };
  const logger = { setContext: jest.fn(), warn: at('warn'), info: at('info'), debug: at('debug') };
  const observer = new QuotaObserver();
  new QuotaLog(observer, logger as unknown as PinoLogger).onModuleInit();
  return { observer, lines };
}

it('tells of an outage once when it begins and once when it ends, whatever the probes between', () => {
  const { observer, lines } = setUp();
  observer.emit('store', { store: 'redis', state: 'open', cause: 'connect ECONNREFUSED' });
  observer.emit('store', { store: 'postgres', state: 'open' });
  for (const state of ['half-open', 'open', 'half-open', 'closed'] as const) {
    observer.emit('store', { store: 'redis', state });
  }
  observer.emit('store', { store: 'redis', state: 'closed' });
  expect(lines).toEqual([
    ['warn', 'quota_store_down', { store: 'redis', cause: 'connect ECONNREFUSED' }],
    ['warn', 'quota_store_down', { store: 'postgres', cause: undefined }],
    ['info', 'quota_store_up', { store: 'redis' }],
  ]);
});

it('logs errors with their cause, each kind once a second, and not endlessly many kinds', () => {
  const { observer, lines } = setUp();
  const error = { operation: 'reserve', error: 'QuotaUnavailableError', cause: 'gone' };
  const now = jest.spyOn(performance, 'now').mockReturnValue(10_000);
  for (let i = 0; i < 100; i += 1) observer.emit('error', { ...error, tenant: `t-${String(i)}` });
  expect(lines).toEqual([['warn', 'quota_error', { ...error, tenantId: 't-0' }]]);
  now.mockReturnValue(11_001);
  observer.emit('error', { ...error, tenant: 'acme' });
  expect(lines).toHaveLength(2);
  for (let i = 0; i < 100; i += 1) observer.emit('error', { ...error, cause: String(i) });
  expect(lines).toHaveLength(21);
  now.mockRestore();
});
