// The service as a process of the chaos run. It ends when the run is gone. CHAOS_BREAK=limit breaks
// the limit on purpose, to show that the run notices.
require('../support/swc-hook.cjs');

process.stdin.on('end', () => process.exit(1)).resume();

if (process.env.CHAOS_BREAK === 'limit') {
  const { RedisUsageTracker } = require('@app/quota');
  const { reserve } = RedisUsageTracker.prototype;
  if (reserve === undefined) throw new Error('There is nothing to break.');
  RedisUsageTracker.prototype.reserve = function (request) {
    const { quotaBytes, hardBytes } = request.limits;
    return reserve.call(this, { ...request, limits: { quotaBytes, hardBytes: hardBytes * 1.5 } });
  };
}

require('../e2e/support/service-child.cjs');
