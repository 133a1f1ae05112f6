// Plants each bug of the catalogue in a copy of the tree, and runs the specs that must notice. A bug
// that no test notices is a gap in the tests, and fails the run.
//
//   npm run test:mutants                  all of them
//   npm run test:mutants -- redis         those whose name has "redis" in it
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { MUTANTS } from '../test/mutants/catalogue.mjs';

// Outside the tree: Jest leaves out what is in a folder of ours that is ignored.
const copy = resolve('..', `.mutants-${process.pid}`);
const LIMIT_MS = 120_000;
const wanted = process.argv[2] ?? '';
const chosen = MUTANTS.filter(({ name }) => name.includes(wanted));

function copyTree() {
  const files = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0');
  for (const file of files.filter((name) => name !== '')) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(file, join(copy, file));
  }
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
}

/** What the specs say in the copy: `caught`, `survived`, or `hung` (which a person would notice, too). */
function run(specs) {
  const jest = resolve('node_modules/jest/bin/jest.js');
  const { status, error } = spawnSync(process.execPath, [jest, '--bail', '-i', ...specs], {
    cwd: copy,
    stdio: 'ignore',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  if (error?.code === 'ETIMEDOUT') return 'hung';
  return status === 0 ? 'survived' : 'caught';
}

function plant({ file, find, replace, specs }) {
  const path = join(copy, file);
  const source = readFileSync(path, 'utf8');
  if (source.split(find).length !== 2) return 'not plantable';
  writeFileSync(
    path,
    source.replace(find, () => replace),
  );
  try {
    return run(specs);
  } finally {
    writeFileSync(path, source);
  }
}

const outcomes = [];
try {
  copyTree();
  const clean = run([...new Set(chosen.flatMap(({ specs }) => specs))]);
  if (clean !== 'survived') throw new Error(`the specs are not green without a bug: ${clean}`);
  for (const [i, mutant] of chosen.entries()) {
    const outcome = plant(mutant);
    outcomes.push(outcome);
    console.log(
      `${String(i + 1).padStart(3)}/${chosen.length}  ${outcome.padEnd(13)} ${mutant.name}`,
    );
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
const bad = outcomes.filter((outcome) => outcome !== 'caught' && outcome !== 'hung').length;
console.log(`${outcomes.length - bad} of ${outcomes.length} planted bugs were caught`);
process.exitCode = bad > 0 || outcomes.length === 0 ? 1 : 0;
