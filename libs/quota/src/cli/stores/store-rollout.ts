import type { QuotaObserver } from '../../core/observer';
import { QuotaRollout } from '../../core/quota-rollout';
import { RolloutAdmin, type RolloutReport } from '../../core/rollout-admin';
import type { RolloutPatch, RolloutStore } from '../../core/rollout-store';
import type { SharedQuotaCache } from '../../core/quota-source';
import { rolloutAnswer, rolloutChangeAnswer } from '../../core/views/rollout-view';
import type { Query } from '../admin';
import { CliError, EXIT } from '../errors';
import { told } from './failures';

/** The environment of the instances is theirs; what stands here for it is never shown. */
const UNSEEN = {
  ...{ enabled: true, killSwitch: false, logOnly: false },
  ...{ rolloutPercent: 100, rolloutTenants: [] },
};

const LATE =
  'Redis did not take the word of the change: instances find it when they next look at the table, ' +
  'every 5 s unless set otherwise.';

/** The rollout that is set at run time, in its table. */
export class StoreRollout {
  private readonly admin: RolloutAdmin;
  private unheard = false;

  constructor(
    stores: { readonly rollout: RolloutStore; readonly shared: SharedQuotaCache | null },
    observer: QuotaObserver,
    private readonly options: {
      readonly actor: string;
      readonly note: (text: string) => void;
    },
  ) {
    this.unheard = stores.shared === null;
    observer.on('error', ({ operation }) => {
      if (operation === 'rollout_announce') this.unheard = true;
    });
    const parts = { store: stores.rollout, shared: stores.shared, observer };
    this.admin = new RolloutAdmin({ ...parts, rollout: new QuotaRollout(UNSEEN) }, 0);
  }

  async report(): Promise<unknown> {
    const report = await this.admin.report();
    if (report.confirmed) return answerOf(report);
    throw new CliError('PostgreSQL does not say what the rollout is.', EXIT.unavailable);
  }

  /** @param body of `PUT /admin/rollout` */
  async change(body: object): Promise<unknown> {
    return this.made(await told(() => this.admin.change(body as RolloutPatch, this.options)));
  }

  async reset(): Promise<unknown> {
    return this.made(await told(() => this.admin.reset(this.options)));
  }

  async history({ limit, before }: Query): Promise<unknown> {
    const asked = { limit: Number(limit), ...(before !== undefined && { before: Number(before) }) };
    const { changes, next } = await told(() => this.admin.history(asked));
    return { items: changes.map(rolloutChangeAnswer), next };
  }

  private made(report: RolloutReport): unknown {
    if (this.unheard) this.options.note(LATE);
    return answerOf(report);
  }
}

/** What is left to the environment is null: it may be another on each instance. */
function answerOf(report: RolloutReport): unknown {
  const { enabled, logOnly, percent, tenants, mode, ...rest } = rolloutAnswer(report);
  const { sources } = report;
  const seen = <T>(name: keyof typeof sources, value: T): T | null =>
    sources[name] === 'runtime' ? value : null;
  const shown = {
    enabled: seen('enabled', enabled),
    logOnly: seen('logOnly', logOnly),
    percent: seen('percent', percent),
    tenants: seen('tenants', tenants),
  };
  const isKnown = shown.enabled === false || (shown.enabled !== null && logOnlyOrPercent(shown));
  return { ...rest, ...shown, mode: isKnown ? mode : null, killSwitch: null };
}

/** Enough is known to say whether most are only watched. */
function logOnlyOrPercent(shown: { logOnly: boolean | null; percent: number | null }): boolean {
  if (shown.logOnly === true || shown.percent === 0) return true;
  return shown.logOnly === false && shown.percent !== null;
}
