import { reconcileAll, setQuota, troubleTenants } from './admin';
import { Auditor } from './auditor';
import { clock, sleep } from './clock';
import { FaultRunner } from './fault-runner';
import { Findings } from './findings';
import { Judge } from './judge';
import { Latencies, StallWatch } from './latency';
import { Load } from './load';
import type { Options, Store } from './options';
import type { PhaseResult } from './phase-result';
import { planFaults } from './plan';
import { Random } from './prng';
import { settle } from './settle';
import { Stand } from './stand';
import { TENANTS } from './tenants';

export interface PhaseParts {
  readonly options: Options;
  readonly store: Store;
  readonly seconds: number;
  readonly say: (line: string) => void;
  /** Ends the load early; what is there is settled and told all the same. */
  readonly signal: AbortSignal;
}

/** Servers up, load and faults on them, all of it to rest, and what is left held against what must be. */
export async function runPhase(parts: PhaseParts): Promise<PhaseResult> {
  const { store, say } = parts;
  const findings = new Findings((line) => say(`  ! ${line}`));
  say(`${store}: starting the servers and three processes`);
  const stand = await Stand.start({
    store,
    logs: parts.options.logs,
    report: (kind, what) => findings.add(kind, what),
  });
  try {
    return await new Phase(parts, stand, findings).run();
  } finally {
    await stand.stop();
  }
}

class Phase {
  private readonly random: Random;
  private readonly judge: Judge;
  private readonly faults: FaultRunner;
  private readonly auditor: Auditor;
  private readonly latencies = new Latencies();
  private readonly stalls = new StallWatch();
  private readonly load: Load;

  constructor(
    private readonly parts: PhaseParts,
    private readonly stand: Stand,
    private readonly findings: Findings,
  ) {
    this.random = new Random(parts.options.seed + 1);
    this.judge = new Judge(findings);
    this.faults = new FaultRunner(stand, (what) => findings.add('fault not brought about', what));
    const when = (): string => this.when();
    this.auditor = new Auditor(parts.store, stand.own, TENANTS, findings, when);
    this.load = new Load({
      ...{ judge: this.judge, random: this.random, tenants: TENANTS, when },
      live: () => stand.liveApps,
      answered: (app, from, to) => {
        if (app.wasAway(from, to)) return;
        const stall = this.stalls.worst(from - performance.timeOrigin, to - performance.timeOrigin);
        this.latencies.add(this.faults.inForce(from, to), to - from, stall);
      },
    });
  }

  async run(): Promise<PhaseResult> {
    const { store, seconds, say } = this.parts;
    for (const tenant of TENANTS) await this.setQuota(tenant);
    await this.load.fill(8);
    const audit = new AbortController();
    const watching = this.auditor.watch(audit.signal);
    const progress = setInterval(() => say(this.progress()), 1_000);
    try {
      await this.trouble();
    } finally {
      clearInterval(progress);
    }
    say(`${store}: load and faults are over; waiting for usage to be right everywhere`);
    for (const tenant of TENANTS) await this.setQuota(tenant);
    const convergedMs = await settle(this.stand.apps, TENANTS, this.auditor, this.findings);
    const mended = convergedMs === null ? await this.mend() : null;
    const valuesRead = await this.readAll();
    const goneBehind503 = await this.countGone();
    audit.abort();
    await watching;
    this.stalls.stop();
    this.checkSlowest();
    return {
      ...{ store, seconds, convergedMs, mended, valuesRead, goneBehind503 },
      readings: this.judge.readings,
      ...{ requests: this.load.sent, statuses: this.load.statuses, faults: this.faults.counts() },
      ...{ findings: this.findings, latency: this.latencies.summary() },
      ...{ samples: this.auditor.samples, skippedSamples: this.auditor.skipped },
    };
  }

  private async trouble(): Promise<void> {
    const { options, store, seconds, signal } = this.parts;
    const plan = planFaults(options.seed, { store, seconds, kinds: options.faults });
    const enough = new AbortController();
    const stop = (): void => enough.abort();
    const timer = setTimeout(stop, seconds * 1_000);
    signal.addEventListener('abort', stop);
    enough.signal.addEventListener('abort', () => this.faults.stop());
    await Promise.all([
      this.load.run(options.workers, options.rate, enough.signal),
      this.faults.run(plan),
      troubleTenants(
        {
          ...{ live: () => this.stand.liveApps, random: new Random(options.seed + 2) },
          ...{ tenants: TENANTS, report: (kind, what) => this.findings.add(kind, what) },
        },
        enough.signal,
      ),
    ]);
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }

  /** Tells drift that only waits to be found from drift that nothing mends. */
  private async mend(): Promise<boolean> {
    await reconcileAll(this.stand.apps, TENANTS, this.stand.report);
    return (await settle(this.stand.apps, TENANTS, this.auditor, new Findings())) !== null;
  }

  private setQuota(tenant: (typeof TENANTS)[number]): Promise<void> {
    return setQuota(() => this.random.pick(this.stand.liveApps), tenant);
  }

  /** Every key of which it is known what must be there. */
  private async readAll(): Promise<number> {
    let read = 0;
    for (const tenant of TENANTS) {
      for (const key of tenant.keys) {
        for (let attempt = 0; attempt < 5; attempt += 1) {
          if (await this.load.get(tenant, key, this.random.pick(this.stand.liveApps))) {
            read += 1;
            break;
          }
          if (this.judge.historyOf(tenant).of(key).settled() === null || tenant.mortal) break;
          await sleep(20);
        }
      }
    }
    return read;
  }

  private async countGone(): Promise<number> {
    let gone = 0;
    for (const tenant of TENANTS) {
      for (const key of tenant.keys) {
        const app = this.random.pick(this.stand.liveApps);
        if (await this.load.isGone(tenant, key, app)) gone += 1;
      }
    }
    return gone;
  }

  private checkSlowest(): void {
    const { slowestMs } = this.parts.options;
    const max = this.latencies.summary()['all']?.max ?? 0;
    if (slowestMs > 0 && max > slowestMs) {
      this.findings.add('slow', `an answer took ${max} ms, more than ${slowestMs}`);
    }
  }

  private when(): string {
    const now = clock();
    return this.faults.inForce(now, now).join('+') || 'no fault';
  }

  private progress(): string {
    const { sent, statuses } = this.load;
    const sum = (match: RegExp): number =>
      Object.entries(statuses).reduce((n, [name, count]) => n + (match.test(name) ? count : 0), 0);
    const apps = `${this.stand.liveApps.length}/3`;
    const parts = [
      `2xx ${sum(/ 2/)}`,
      `404 ${sum(/404/)}`,
      `429 ${sum(/429/)}`,
      `503 ${sum(/503/)}`,
    ];
    const none = `none ${sum(/ [A-Z]/)}`;
    return `${this.parts.store} ${String(sent).padStart(6)} requests  ${parts.join('  ')}  ${none}  apps ${apps}  ${this.when()}`;
  }
}
