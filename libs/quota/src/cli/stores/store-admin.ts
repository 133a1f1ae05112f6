import type { DataSource } from 'typeorm';
import type { RedisClient } from '../../adapters/redis/redis-calls';
import { mbToBytes } from '../../core/bytes';
import { QuotaObserver } from '../../core/observer';
import { QUOTA_PLANS, type PlanName } from '../../core/plans';
import { QuotaAdmin } from '../../core/quota-admin';
import { QuotaCacheService } from '../../core/quota-cache.service';
import type { QuotaListQuery, QuotaPatch } from '../../core/quota-store';
import type { QuotaRow } from '../../core/quota-source';
import { Simulation } from '../../core/simulation';
import type { UsageLog } from '../../core/usage-log';
import type { Usage } from '../../core/usage-tracker';
import { impactAnswer } from '../../core/views/rollout-view';
import { quotaAnswer, reconcileAnswer } from '../../core/views/quota-view';
import { simulationAnswer } from '../../core/views/simulation-view';
import type { ResolvedQuotaOptions } from '../../nest/options';
import { buildStores, type QuotaStores } from '../../nest/stores';
import type { Admin, Query } from '../admin';
import { CliError, EXIT } from '../errors';
import { told } from './failures';
import { StoreRollout } from './store-rollout';
import { sinceOf } from './values';
import { usageCsv, usagePage } from './usage';

export interface OpenStores {
  readonly options: ResolvedQuotaOptions;
  readonly dataSource: DataSource;
  readonly redis: RedisClient | undefined;
  /** Why Redis did not answer at the start; null: it did, or there is none. */
  readonly redisAway: string | null;
  readonly actor: string;
  readonly note: (text: string) => void;
}

interface SetBody extends QuotaPatch {
  readonly plan?: PlanName;
  readonly version?: number;
}

/** As commander has parsed it. */
interface SimulateQuery {
  readonly limitMb?: number;
  readonly overageMb?: number;
  readonly tenant?: string;
  readonly percent: number;
}

/**
 * Does with the stores themselves what the admin API does: by the same classes, with the same checks,
 * audit trail and word to the instances. Whoever has the stores' credentials may do anything to them;
 * the trail says `cli:` and who it was.
 */
export class StoreAdmin implements Admin {
  private readonly stores: QuotaStores;
  private readonly quotas: QuotaCacheService;
  private readonly admin: QuotaAdmin;
  private readonly rollouts: StoreRollout;

  constructor(private readonly open: OpenStores) {
    const { options } = open;
    const observer = new QuotaObserver();
    this.stores = buildStores(options, observer);
    const { quotas: source, shared, tracker, reconciler } = this.stores;
    this.quotas = new QuotaCacheService(
      source,
      shared,
      {
        ttlMs: options.quotaCacheTtlSeconds * 1_000,
        maxTenants: options.quotaCacheMaxTenants,
        unknownTenant: options.unknownTenant,
        defaultQuotaMb: options.defaultQuotaMb,
      },
      observer,
    );
    this.admin = new QuotaAdmin(source, this.quotas, tracker, reconciler, observer);
    this.rollouts = new StoreRollout(this.stores, observer, open);
  }

  async getQuota(tenant: string): Promise<unknown> {
    const row = await told(() => this.admin.get(tenant));
    if (row === null) throw new CliError('The tenant has no quota of its own.', EXIT.notFound);
    return this.answer(row);
  }

  async setQuota(tenant: string, body: object): Promise<unknown> {
    this.needRedis('Running instances hear of a change through Redis');
    const { plan, version, ...patch } = body as SetBody;
    const limits = plan === undefined ? {} : QUOTA_PLANS[plan];
    const options = {
      actor: this.open.actor,
      ...(version !== undefined && { expectedVersion: version }),
    };
    const { row } = await told(() => this.admin.set(tenant, { ...patch, ...limits }, options));
    if (this.quotas.pendingAnnouncements === 0) return this.answer(row);
    throw new CliError(
      `The quota is changed (version ${row.version}), but Redis did not take the word of it: running ` +
        'instances go by their copies until those are too old. Do it again when Redis answers.',
      EXIT.unavailable,
    );
  }

  async listQuotas(query: Query): Promise<unknown> {
    const { near, mode, ...rest } = query;
    const asked = {
      ...rest,
      ...(near !== undefined && { nearPercent: near }),
      ...(mode !== undefined && { mode }),
    } as QuotaListQuery;
    const { rows, next } = await told(() => this.admin.list(asked));
    return { items: await Promise.all(rows.map((row) => this.answer(row))), next };
  }

  async explain(): Promise<unknown> {
    throw needsService(
      'What decides a write, and by which copy of the quota, each instance knows for itself',
    );
  }

  async reconcile(tenant: string, ledgerOnly: boolean): Promise<unknown> {
    if (!ledgerOnly) {
      throw needsService(
        'Usage is compared with what the application stores, which the application alone can read; ' +
          'with --ledger the entries of the ledger are counted anew, and nothing is compared',
      );
    }
    this.needRedis('The ledger is in Redis');
    return reconcileAnswer(await told(() => this.admin.reconcile(tenant)));
  }

  async evict(): Promise<unknown> {
    throw needsService('Values are the application’s, and only it can remove them');
  }

  rollout(): Promise<unknown> {
    return this.rollouts.report();
  }

  changeRollout(body: object): Promise<unknown> {
    return this.rollouts.change(body);
  }

  resetRollout(): Promise<unknown> {
    return this.rollouts.reset();
  }

  rolloutHistory(query: Query): Promise<unknown> {
    return this.rollouts.history(query);
  }

  async impact(query: Query): Promise<unknown> {
    const span = { from: sinceOf(query['since']), to: Date.now() };
    const limit = Number(query['limit']);
    return told(async () => {
      const { decisions } = this.stores;
      const coverage = await decisions.coverage(span);
      const page = await decisions.impact({ span, after: '', limit });
      return impactAnswer({ coverage, ...page }, span, this.reach(span.to));
    });
  }

  async simulate(query: Query): Promise<unknown> {
    const span = { from: sinceOf(query['since']), to: Date.now() };
    const { limitMb, overageMb, tenant, percent } = query as unknown as SimulateQuery;
    if (limitMb === undefined && overageMb !== undefined) {
      throw new CliError('--overage goes with --limit.', EXIT.usage);
    }
    const hardBytes = limitMb === undefined ? null : mbToBytes(limitMb) + mbToBytes(overageMb ?? 0);
    const asked = { span, percent, limit: SIMULATED, hardBytes };
    const run = new Simulation(this.stores.decisions);
    const report = await told(() => run.run({ ...asked, ...(tenant !== undefined && { tenant }) }));
    const proposal = {
      limitMb: limitMb ?? null,
      overageMb: limitMb === undefined ? null : (overageMb ?? 0),
      percent,
    };
    return simulationAnswer(proposal, report, span, this.reach(span.to));
  }

  usage(query: Query): Promise<unknown> {
    return usagePage(this.log, query);
  }

  usageCsv(query: Query): Promise<AsyncIterable<Uint8Array>> {
    return usageCsv(this.log, query);
  }

  async close(): Promise<void> {
    this.stores.breakers.stop();
    await this.quotas.stop();
    this.open.redis?.disconnect();
    await this.open.dataSource.destroy();
  }

  private async answer(row: QuotaRow): Promise<unknown> {
    return quotaAnswer(row, await this.usageOf(row.tenant));
  }

  /** Quotas can be read while the ledger is away; in this process there is none. */
  private async usageOf(tenant: string): Promise<Usage | null> {
    if (this.open.redis === undefined || this.open.redisAway !== null) return null;
    try {
      return await this.stores.tracker.read(tenant);
    } catch {
      return null;
    }
  }

  private needRedis(why: string): void {
    const { redis, redisAway } = this.open;
    if (redis === undefined) {
      throw new CliError(`${why}: say --redis or set REDIS_URL.`, EXIT.usage);
    }
    if (redisAway === null) return;
    throw new CliError(`${why}, and it does not answer: ${redisAway}.`, EXIT.unavailable);
  }

  /** There is one wherever there is a database. */
  private get log(): UsageLog {
    const { usageLog } = this.stores;
    if (usageLog === null) throw new Error('A database without a log of usage.');
    return usageLog;
  }

  private reach(to: number): number {
    return to - this.open.options.decisionsMaxAgeHours * 3_600_000;
  }
}

/** Tenants of a simulation that are listed. */
const SIMULATED = 100;

function needsService(why: string): CliError {
  return new CliError(`Not without a running service. ${why}.`, EXIT.needsService);
}
