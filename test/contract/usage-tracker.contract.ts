import {
  Scene,
  type ContractOptions,
  type Stage,
  type TrackerHarness,
} from './usage-tracker/scene';
import { describeConcurrency } from './usage-tracker/concurrency';
import { describeDecisions } from './usage-tracker/decisions';
import { describeExpiry } from './usage-tracker/expiry';
import { describeGivingBack } from './usage-tracker/giving-back';
import { describeNames } from './usage-tracker/names';
import { describeOverwrites } from './usage-tracker/overwrites';
import { describeSettling } from './usage-tracker/settling';
import { describeUpkeep } from './usage-tracker/upkeep';
import { describeValues } from './usage-tracker/values';

export type { ContractOptions, TrackerHarness } from './usage-tracker/scene';

/**
 * The contract of `UsageTracker`: one suite for every implementation, a test or more for each
 * sentence of docs/ledger.md. Each test has a tenant of its own, so that nothing needs cleaning up.
 *
 *     describeUsageTracker('RedisUsageTracker', async () => ({
 *       tracker, freshTenant, hasState, skewCommitted, close,
 *     }));
 */
export function describeUsageTracker(
  name: string,
  makeHarness: () => Promise<TrackerHarness> | TrackerHarness,
  options: ContractOptions = { keepsValues: true },
): void {
  describe(`${name} keeps the contract of UsageTracker`, () => {
    let current: TrackerHarness | undefined;
    beforeAll(async () => {
      current = await makeHarness();
    });
    afterAll(() => current?.close?.());

    const harness = (): TrackerHarness => {
      if (!current) throw new Error('The harness exists only while tests run.');
      return current;
    };
    const stage: Stage = {
      options,
      harness,
      scene: (limits) => {
        const { tracker, freshTenant } = harness();
        const quotaBytes = limits?.quotaBytes ?? 100;
        const hardBytes = limits?.hardBytes ?? Math.max(quotaBytes, 110);
        return new Scene(tracker, freshTenant(), { quotaBytes, hardBytes });
      },
    };

    describeDecisions(stage);
    describeOverwrites(stage);
    describeSettling(stage);
    describeExpiry(stage);
    describeGivingBack(stage);
    describeUpkeep(stage);
    describeValues(stage);
    describeNames(stage);
    describeConcurrency(stage);
  });
}
