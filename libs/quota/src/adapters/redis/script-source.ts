import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One .lua file each; its header lists keys, arguments and replies. */
export const SCRIPT_NAMES = [
  'reserve',
  'check',
  'commit',
  'release',
  'remove',
  'refund',
  'read',
  'sweep',
  'settled',
  'lapsed',
  'let-go',
  'drop',
  'recount-page',
  'entries',
  'lookup',
  'correct',
  'tenants',
  'lease',
  'value-get',
  'value-put-unmetered',
  'config-put',
  'config-announce',
  'grant-standing',
  'grant-take',
  'grant-lower',
  'rebuild-begin',
  'fold',
] as const;

export type ScriptName = (typeof SCRIPT_NAMES)[number];

export interface Script {
  readonly source: string;
  readonly sha: string;
}

/** The .lua files are assets beside the compiled code, and beside the source in tests. */
const FOLDER = join(__dirname, 'scripts');
const INCLUDE = /^--@include ([a-z-]+)$/gm;

let loaded: Readonly<Record<ScriptName, Script>> | undefined;

/** All scripts, read from disk once. @throws Error naming the file that is missing from the build. */
export function loadScripts(): Readonly<Record<ScriptName, Script>> {
  loaded ??= Object.fromEntries(
    SCRIPT_NAMES.map((name) => {
      const source = resolve(`${name}.lua`, new Set());
      return [name, { source, sha: createHash('sha1').update(source).digest('hex') }];
    }),
  ) as Record<ScriptName, Script>;
  return loaded;
}

/** The file with each included one in the place of its line, once; the `#!lua` line stays first. */
function resolve(file: string, seen: Set<string>): string {
  return read(file).replace(INCLUDE, (_line, name: string) => {
    if (seen.has(name)) return '';
    seen.add(name);
    return resolve(`include/${name}.lua`, seen);
  });
}

function read(file: string): string {
  const path = join(FOLDER, file);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(
      `The Lua script ${path} cannot be read. Have the build copy "**/*.lua" beside the compiled ` +
        'code (nest-cli.json: compilerOptions.assets).',
      { cause: error },
    );
  }
}
