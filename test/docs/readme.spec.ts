import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');

/** What GitHub's renderer knows, as far as it is used here. */
const DIAGRAM =
  /^(C4Context|C4Container|C4Component|flowchart (TB|TD|LR|RL|BT)|sequenceDiagram|stateDiagram-v2|erDiagram)$/;

interface Block {
  readonly language: string;
  readonly text: string;
}

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .sort();
}

const pages = [
  ...['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md'].map((name) => join(ROOT, name)),
  ...filesBelow(join(ROOT, 'docs'), '.md'),
].map((path) => ({ path, name: relative(ROOT, path), text: readFileSync(path, 'utf8') }));

function blocksOf(text: string): Block[] {
  return [...text.matchAll(/^```([\w-]*)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
    language: language ?? '',
    text: code ?? '',
  }));
}

/** The text between `#region` and `#endregion`, moved to the left margin. */
function regionsOf(text: string): string[] {
  const found = text.matchAll(/^( *)\/\/ #region .*\n([\s\S]*?)^ *\/\/ #endregion$/gm);
  return [...found].map(([, indent, code]) =>
    (code ?? '').replaceAll(`\n${indent ?? ''}`, '\n').slice(indent?.length),
  );
}

const regions = filesBelow(__dirname, '.ts')
  .filter((path) => !path.endsWith('.spec.ts'))
  .flatMap((path) => regionsOf(readFileSync(path, 'utf8')));

/** GitHub's name of a heading in a link. */
function anchorOf(heading: string): string {
  const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
  return plain
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

function anchorsIn(path: string): string[] {
  const prose = readFileSync(path, 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...prose.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => anchorOf(heading ?? ''));
}

function brokenLinksOf({ path, text }: { path: string; text: string }): string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '');
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? '');
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => {
      const [file = '', anchor] = target.split('#');
      const aim = file === '' ? path : join(dirname(path), decodeURIComponent(file));
      if (!existsSync(aim)) return true;
      return anchor !== undefined && !anchorsIn(aim).includes(anchor);
    });
}

describe('documentation', () => {
  test.each(pages.map((page) => [page.name, page] as const))(
    '%s has only code that is type-checked, and links that lead somewhere',
    (_name, page) => {
      const code = blocksOf(page.text).filter(({ language }) => language === 'ts');
      for (const { text } of code) expect(regions).toContain(text);
      expect(brokenLinksOf(page)).toEqual([]);
    },
  );

  test('every type-checked sample stands in a page', () => {
    const shown = pages.flatMap(({ text }) => blocksOf(text)).map(({ text }) => text);
    expect(regions.length).toBeGreaterThan(0);
    for (const region of regions) expect(shown).toContain(region);
  });

  test('README.md shows how to set up, decorate and check below HTTP', () => {
    const readme = pages.find(({ name }) => name === 'README.md');
    const code = blocksOf(readme?.text ?? '').filter(({ language }) => language === 'ts');
    expect(code.length).toBeGreaterThanOrEqual(3);
  });

  test('every diagram is of a kind that GitHub draws', () => {
    const diagrams = pages
      .flatMap(({ text }) => blocksOf(text))
      .filter(({ language }) => language === 'mermaid');
    expect(diagrams.length).toBeGreaterThanOrEqual(4);
    for (const { text } of diagrams) expect(text.split('\n')[0]).toMatch(DIAGRAM);
  });

  test('every decision is in the index, and has its three parts', () => {
    const index = readFileSync(join(ROOT, 'docs/README.md'), 'utf8');
    const decisions = pages.filter(({ name }) => name.startsWith('docs/decisions/'));
    expect(decisions.length).toBeGreaterThanOrEqual(12);
    for (const { name, text } of decisions) {
      expect(index).toContain(`(${name.slice('docs/'.length)})`);
      for (const part of ['Context', 'Decision', 'Consequences'])
        expect(text).toContain(`## ${part}\n`);
    }
  });

  test('every public name of the library is in docs/library.md', () => {
    const barrel = readFileSync(join(ROOT, 'libs/quota/src/index.ts'), 'utf8').replaceAll(
      /\/\/.*$/gm,
      '',
    );
    const names = [...barrel.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list]) =>
      (list ?? '')
        .split(',')
        .map((name) => name.replace(/^\s*type /, '').trim())
        .filter(Boolean),
    );
    const text = readFileSync(join(ROOT, 'docs/library.md'), 'utf8');
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name) => !new RegExp(`\`${name}\\b`).test(text))).toEqual([]);
  });
});
