// The order of suites: those that take longest begin, so that both workers end together. Jest knows
// by itself from its cache, but a fresh checkout has none, and the size of a file says little.
const { relative, sep } = require('node:path');
const { default: Sequencer } = require('@jest/test-sequencer');

/** Those of half a minute and more on two cores, the longest first. */
const LONGEST = [
  'test/e2e/quota.spec.ts',
  'test/integration/bank/hostile.spec.ts',
  'test/model/postgres.model.spec.ts',
  'test/contract/postgres-usage-tracker.spec.ts',
  'test/model/redis.model.spec.ts',
  'test/e2e/eviction.spec.ts',
  'test/integration/postgres/usage-tracker.spec.ts',
  'test/chaos/proof.spec.ts',
  'test/integration/postgres/embedded.spec.ts',
  'test/contract/redis-usage-tracker.spec.ts',
  'test/integration/postgres/bank.spec.ts',
  'test/integration/unsettled/reborn.spec.ts',
];

module.exports = class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path, context }) => {
      const name = relative(context.config.rootDir, path).split(sep).join('/');
      const at = LONGEST.indexOf(name);
      return at < 0 ? LONGEST.length : at;
    };
    return super.sort(tests).sort((a, b) => rank(a) - rank(b));
  }
};
