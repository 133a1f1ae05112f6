// Follows docs/operations from nothing to everybody enforced, as a new operator would, on servers of
// its own: every command of deployment, rollout plan, runbook and upgrade, in their order.
require('../test/support/swc-hook.cjs');
require('../test/operations/walkthrough.ts');
