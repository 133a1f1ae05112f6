import {
  InvalidWriteError,
  RolloutConflictError,
  type RolloutPatch,
  type RolloutStore,
} from '@app/quota';

export interface RolloutStoreHarness {
  readonly store: RolloutStore;
  close?(): Promise<void>;
}

const by = { actor: 'contract' };
const nothing = { enabled: null, logOnly: null, percent: null, tenants: null };

/** The contract of `RolloutStore`: one life of one row, since there is only one. */
export function describeRolloutStore(
  name: string,
  makeHarness: () => Promise<RolloutStoreHarness> | RolloutStoreHarness,
): void {
  describe(`${name} keeps the contract of RolloutStore`, () => {
    let harness: RolloutStoreHarness;
    let store: RolloutStore;
    beforeAll(async () => {
      harness = await makeHarness();
      store = harness.store;
    }, 60_000);
    afterAll(() => harness.close?.());

    it('begins with nothing set, at version 0', async () => {
      expect(await store.load()).toEqual({ ...nothing, version: 0, actor: null, changedAt: null });
      expect(await store.history({ limit: 10 })).toEqual({ changes: [], next: null });
    });

    it('lets one of many make the first change', async () => {
      const first = { ...by, expectedVersion: 0 };
      const made = await Promise.allSettled(
        Array.from({ length: 10 }, (_, i) => store.change({ percent: i }, first)),
      );
      const refused = made.flatMap((one) =>
        one.status === 'rejected' ? [one.reason as unknown] : [],
      );
      expect(refused).toHaveLength(9);
      for (const reason of refused) expect(reason).toBeInstanceOf(RolloutConflictError);
      expect((await store.load()).version).toBe(1);
    });

    it('changes what is given, and null goes back', async () => {
      await store.change({ enabled: true, percent: 12.34 }, by);
      const changed = await store.change({ tenants: ['b', 'a', 'b'] }, by);
      expect(changed).toMatchObject({ enabled: true, logOnly: null, percent: 12.34, version: 3 });
      expect(changed.tenants).toEqual(['b', 'a']);
      expect(await store.load()).toEqual(changed);
      const reset = await store.change({ enabled: null, percent: null, tenants: [] }, by);
      expect(reset).toMatchObject({ ...nothing, tenants: [], version: 4, actor: 'contract' });
    });

    it('keeps who changed what, the latest first', async () => {
      const { changes, next } = await store.history({ limit: 2 });
      expect(next).toBe(3);
      expect(changes).toMatchObject([
        { version: 4, actor: 'contract', before: { percent: 12.34 }, after: { percent: null } },
        { version: 3, before: { tenants: null }, after: { tenants: ['b', 'a'] } },
      ]);
      const rest = await store.history({ before: 3, limit: 100 });
      expect(rest.changes.map(({ version }) => version)).toEqual([2, 1]);
      expect(rest.next).toBeNull();
    });

    it('loses no change of many at once', async () => {
      const { version } = await store.load();
      await Promise.all(Array.from({ length: 20 }, () => store.change({ logOnly: true }, by)));
      expect((await store.load()).version).toBe(version + 20);
    });

    it.each<[string, unknown]>([
      ['rollout', {}],
      ['percent', { percent: 100.01 }],
      ['percent', { percent: NaN }],
      ['percent', { percent: 0.001 }],
      ['tenants', { tenants: ['a b'] }],
      ['tenants', { tenants: 'a' }],
      ['enabled', { enabled: 1 }],
      ['mode', { mode: 'off' }],
    ])('takes no wrong %s: %j', async (where, patch) => {
      const { version } = await store.load();
      const refused = store.change(patch as RolloutPatch, by);
      await expect(refused).rejects.toBeInstanceOf(InvalidWriteError);
      await expect(refused).rejects.toMatchObject({ input: { where } });
      await expect(store.change({ percent: 1 }, { actor: '' })).rejects.toThrow(InvalidWriteError);
      expect((await store.load()).version).toBe(version);
    });

    it.each([0, 101, 1.5])('gives no page of %p lines', async (limit) => {
      await expect(store.history({ limit })).rejects.toThrow(InvalidWriteError);
    });
  });
}
