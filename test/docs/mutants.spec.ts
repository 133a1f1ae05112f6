import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly specs: readonly string[];
}

/** The catalogue is an ES module of JavaScript, which Jest does not load here; Node does. */
function catalogue(): Mutant[] {
  const print =
    "import('./test/mutants/catalogue.mjs').then(({ MUTANTS }) => process.stdout.write(JSON.stringify(MUTANTS)))";
  const text = execFileSync(process.execPath, ['-e', print], { encoding: 'utf8' });
  return JSON.parse(text) as Mutant[];
}

it('every planted bug has its place in the source, once, and its specs', () => {
  const wrong = catalogue().filter(({ file, find, specs }) => {
    const places = readFileSync(file, 'utf8').split(find).length - 1;
    return places !== 1 || specs.length === 0 || !specs.every((spec) => existsSync(spec));
  });
  expect(wrong.map(({ name }) => name)).toEqual([]);
});
