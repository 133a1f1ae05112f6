// `npm test`: all suites. Those that hold answers to a time, or let several servers elect a master,
// run one after the other once the rest is done: beside them other suites would take their processors.
// Arguments are Jest's, e.g. a path; with RESULTS_DIR the counts of each run go there as JSON.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ALONE = [
  'test/integration/breaker/',
  'test/integration/faults/',
  'test/integration/bank/(cluster|failover|sentinel|evicted)',
];

const results = process.env.RESULTS_DIR;
const args = process.argv.slice(2);

function jest(name, ...own) {
  const json = results ? ['--json', `--outputFile=${join(results, `${name}.json`)}`] : [];
  const { status } = spawnSync('npx', ['jest', '--passWithNoTests', ...own, ...json, ...args], {
    stdio: 'inherit',
  });
  return status ?? 1;
}

const beside = jest(
  'beside',
  '--coverage',
  '--testPathIgnorePatterns=/node_modules/',
  ...ALONE.map((path) => `--testPathIgnorePatterns=${path}`),
);
const alone = jest('alone', '--runInBand', ...ALONE.map((path) => `--testPathPatterns=${path}`));
process.exitCode = beside || alone;
