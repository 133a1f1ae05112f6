// `npm test`: all suites. Those that hold answers to a time, or let several servers elect a master,
// run one after the other once the rest is done: beside them other suites would take their processors.
// What both have covered counts together. Arguments are Jest's, e.g. a path, and then coverage is left
// out; with RESULTS_DIR the counts of each run go there as JSON.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { reportCoverage } from './coverage.mjs';

const ALONE = [
  'test/integration/breaker/',
  'test/integration/faults/',
  'test/integration/bank/(cluster|failover|sentinel|evicted)',
];
const COVERAGE = 'coverage';

const results = process.env.RESULTS_DIR;
const args = process.argv.slice(2);
const whole = args.length === 0;

function jest(name, ...own) {
  const json = results ? ['--json', `--outputFile=${join(results, `${name}.json`)}`] : [];
  const covering = whole
    ? ['--coverage', '--coverageReporters=json', `--coverageDirectory=${join(COVERAGE, name)}`]
    : [];
  const options = ['--passWithNoTests', ...covering, ...own, ...json, ...args];
  const { status } = spawnSync('npx', ['jest', ...options], { stdio: 'inherit' });
  return status ?? 1;
}

rmSync(COVERAGE, { recursive: true, force: true });
const beside = jest(
  'beside',
  '--testPathIgnorePatterns=/node_modules/',
  ...ALONE.map((path) => `--testPathIgnorePatterns=${path}`),
);
const alone = jest('alone', '--runInBand', ...ALONE.map((path) => `--testPathPatterns=${path}`));
const covered = whole ? reportCoverage(COVERAGE, ['beside', 'alone']) : 0;
process.exitCode = beside || alone || covered;
