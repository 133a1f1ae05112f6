import { MemoryRolloutStore } from '../adapters/memory/memory-rollout-store';
import { KillSwitchError, QuotaUnavailableError, RolloutConflictError } from './errors';
import { QuotaObserver } from './observer';
import { QuotaRollout } from './quota-rollout';
import { RolloutAdmin } from './rollout-admin';
import type { RolloutRow } from './rollout-store';
import { rolloutWord } from './rollout-word';

const options = { enabled: false, killSwitch: false, logOnly: false };
const environment = { ...options, rolloutPercent: 100, rolloutTenants: ['acme'] };
const by = { actor: 'test' };

/** A table whose readings can be held back, and that can be away. */
class Table extends MemoryRolloutStore {
  away = false;
  loads = 0;
  gate: Promise<void> = Promise.resolve();

  override async load(): Promise<RolloutRow> {
    this.loads += 1;
    if (this.away) throw new QuotaUnavailableError('rollout');
    const row = await super.load();
    await this.gate;
    return row;
  }
}

let table: Table;
let rollout: QuotaRollout;
let observer: QuotaObserver;
let admin: RolloutAdmin;
let told: object[];

function instance(over: Partial<typeof environment> = {}): RolloutAdmin {
  rollout = new QuotaRollout({ ...environment, ...over });
  return new RolloutAdmin({ store: table, rollout, shared: null, observer }, 0);
}

beforeEach(() => {
  table = new Table();
  observer = new QuotaObserver();
  told = [];
  observer.on('rollout', (event) => told.push(event));
  admin = instance();
});

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

it('holds with the next reading, value by value over the environment', async () => {
  await admin.change({ enabled: true, percent: 10 }, by);
  expect(rollout.current).toMatchObject({ enabled: true, percent: 10, logOnly: false });
  expect([...rollout.current.tenants]).toEqual(['acme']);
  await admin.change({ tenants: [] }, by);
  expect([...rollout.current.tenants]).toEqual([]);
  await admin.reset(by);
  expect(rollout.current).toEqual(rollout.environment);
  expect(told).toEqual([
    { version: 1, actor: 'test', mode: 'enforce' },
    { version: 2, actor: 'test', mode: 'enforce' },
    { version: 3, actor: 'test', mode: 'off' },
  ]);
});

it('at a start takes over what was set, and without the table starts with the environment', async () => {
  await admin.change({ enabled: true, logOnly: true }, by);
  const other = instance();
  await other.start();
  expect(rollout.current).toMatchObject({ enabled: true, logOnly: true });
  table.away = true;
  const third = instance();
  await third.start();
  expect(rollout.current).toEqual(rollout.environment);
  expect(await third.report()).toMatchObject({ confirmed: false, version: 0, enabled: false });
  table.away = false;
  expect(await third.report()).toMatchObject({ confirmed: true, version: 1, enabled: true });
});

it('looks at the table again when word may have been missed, or cannot be read', async () => {
  for (const word of [null, 'garbage', '{"version":7}', '{"version":99,"percent":400}']) {
    await new MemoryRolloutStore().change({ percent: 1 }, by);
    const before = table.loads;
    admin.hear(word);
    await settled();
    expect(table.loads).toBe(before + 1);
  }
  expect(rollout.current).toEqual(rollout.environment);
});

it('takes over what it is told at once, but not what is older', async () => {
  table.away = true;
  const row = { enabled: true, logOnly: true, percent: null, tenants: ['globex'] };
  const word = { ...row, version: 5, actor: 'other', changedAt: new Date() };
  admin.hear(rolloutWord(word));
  expect(rollout.current).toMatchObject({ enabled: true, logOnly: true, percent: 100 });
  expect(rollout.row).toEqual(word);
  admin.hear(rolloutWord({ ...word, version: 4, enabled: false }));
  expect(rollout.current.enabled).toBe(true);
  await settled();
});

it('believes the table over what it was told', async () => {
  const row = { enabled: true, logOnly: true, percent: null, tenants: null };
  admin.hear(rolloutWord({ ...row, version: 9_999, actor: 'nobody', changedAt: new Date() }));
  await settled();
  expect(rollout.row.version).toBe(0);
  expect(rollout.current.enabled).toBe(false);
});

it('is not put back by a look that began before a change', async () => {
  let open = (): void => undefined;
  table.gate = new Promise((resolve) => (open = resolve));
  const late = admin.report();
  await settled();
  table.gate = Promise.resolve();
  await admin.change({ enabled: true }, by);
  open();
  await late;
  expect(rollout.current.enabled).toBe(true);
});

it('answers many with two looks', async () => {
  await Promise.all(Array.from({ length: 50 }, () => admin.report()));
  expect(table.loads).toBe(2);
});

it('changes nothing from a version that is not the present one', async () => {
  await admin.change({ percent: 10 }, { ...by, expectedVersion: 0 });
  const stale = admin.change({ percent: 20 }, { ...by, expectedVersion: 0 });
  await expect(stale).rejects.toThrow(RolloutConflictError);
  expect(rollout.current.percent).toBe(10);
});

describe('the kill switch', () => {
  it('beats all set at run time, and is not to be turned on', async () => {
    await admin.change({ enabled: true, tenants: ['acme'] }, by);
    const killed = instance({ killSwitch: true, enabled: true });
    await killed.start();
    expect(rollout.current).toMatchObject({ enabled: false });
    await expect(killed.change({ enabled: true }, by)).rejects.toThrow(KillSwitchError);
    expect(await killed.change({ percent: 5 }, by)).toMatchObject({
      ...{ enabled: false, percent: 5, killSwitch: true },
      sources: { enabled: 'environment', percent: 'runtime' },
    });
  });

  it('is what a library user means by enabled: false', () => {
    const given = { ...environment, killSwitch: undefined };
    expect(new QuotaRollout(given).killSwitch).toBe(true);
    expect(new QuotaRollout({ ...given, enabled: true }).killSwitch).toBe(false);
  });
});
