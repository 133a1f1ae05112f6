import {
  Controller,
  Get,
  Inject,
  Injectable,
  Res,
  type DynamicModule,
  type FactoryProvider,
  type OnModuleInit,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import { QuotaChecker, QuotaObserver, QuotaRollout, QuotaSystem, StoreBreakers } from '@app/quota';
import { getToken, PrometheusModule } from '@willsoto/nestjs-prometheus';
import { collectDefaultMetrics, Registry, type Histogram, type Metric } from 'prom-client';
import { DataSource } from 'typeorm';
import { InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import type { RedisClient } from '../redis/redis-client';
import { RedisModule } from '../redis/redis.module';
import { RecentDrift } from './drift';
import { CHECK_DURATION, counterNames, gaugeNames, metricProviders } from './metrics';
import { readGauges } from './quota-gauges';
import { beginAtZero, countEvents, type Counters, type Gauges } from './quota-metrics';

const COUNTERS = Symbol('Counters');
const GAUGES = Symbol('Gauges');

/** Counts from the start on, and reads the gauges when asked. */
@Injectable()
class MetricsService implements OnModuleInit {
  private readonly drift = new RecentDrift();
  private reading: Promise<void> | undefined;

  constructor(
    @Inject(Registry) private readonly registry: Registry,
    @Inject(COUNTERS) private readonly counters: Counters,
    @Inject(GAUGES) private readonly gauges: Gauges,
    @Inject(getToken(CHECK_DURATION)) private readonly duration: Histogram,
    private readonly observer: QuotaObserver,
    private readonly checker: QuotaChecker,
    private readonly rollout: QuotaRollout,
    private readonly breakers: StoreBreakers,
    private readonly system: QuotaSystem,
    private readonly dataSource: DataSource,
    @Inject(RedisModule.TOKEN) private readonly redis: RedisClient | null,
    @InjectSettings() private readonly settings: Settings,
  ) {}

  onModuleInit(): void {
    const { observer, counters, gauges, duration, drift, redis } = this;
    countEvents(observer, { counters, gauges, duration, drift });
    beginAtZero(counters, ['memory', ...(redis === null ? [] : ['redis']), 'postgres']);
  }

  /** However many ask at once, the stores are read once for all of them. */
  async scrape(): Promise<{ text: string; type: string }> {
    this.reading ??= this.read().finally(() => (this.reading = undefined));
    await this.reading;
    return { text: await this.registry.metrics(), type: this.registry.contentType };
  }

  private read(): Promise<void> {
    const { gauges, checker, rollout, breakers, system, drift, dataSource, redis } = this;
    const topTenants = this.settings.QUOTA_METRICS_TOP_TENANTS;
    const sources = { checker, rollout, breakers, system, drift, dataSource, redis, topTenants };
    return readGauges(gauges, sources);
  }
}

@ApiTags('operations')
@Controller()
class MetricsController {
  constructor(
    private readonly metrics: MetricsService,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Metrics for Prometheus' })
  @ApiProduces('text/plain')
  @ApiOkResponse({ schema: { type: 'string' } })
  async index(@Res({ passthrough: true }) response: object): Promise<string> {
    const { text, type } = await this.metrics.scrape();
    this.adapterHost.httpAdapter.setHeader(response, 'Content-Type', type);
    return text;
  }
}

/** The metrics of an application at GET /metrics, in a registry of its own: two may share a process. */
export function metricsModule(): DynamicModule {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const prometheus = PrometheusModule.register({
    controller: MetricsController,
    defaultMetrics: { enabled: false },
  });
  return {
    ...prometheus,
    providers: [
      ...(prometheus.providers ?? []),
      { provide: Registry, useValue: registry },
      ...metricProviders(registry),
      byName(COUNTERS, counterNames),
      byName(GAUGES, gaugeNames),
      MetricsService,
    ],
  };
}

/** Several metrics as one record by their names. */
function byName(provide: symbol, names: readonly string[]): FactoryProvider {
  return {
    provide,
    inject: names.map((name) => getToken(name)),
    useFactory: (...metrics: Metric[]) =>
      Object.fromEntries(names.map((name, i) => [name, metrics[i]])),
  };
}
