import { Option, type Command } from 'commander';
import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import type { Admin } from './admin';
import { CliError, EXIT } from './errors';
import type { Output } from './output';
import { ServiceAdmin } from './service-admin';

/** What every command has: whom it asks, and where it writes. */
export interface Context {
  readonly admin: Admin;
  readonly output: Output;
}

/** The context of a command that was typed; to be closed when that is done. @throws CliError */
export type Using = (command: Command) => Promise<Context>;

/** What the process gives to the command line. */
export interface Surroundings extends Pick<Output, 'out' | 'err'> {
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface GlobalOptions {
  readonly url: string;
  readonly tokenFile?: string;
  readonly stores?: boolean;
  readonly redis?: string;
  readonly postgres?: string;
  readonly redisPrefix?: string;
  readonly as?: string;
  readonly json?: boolean;
}

/** Of the service, not of the stores. */
const SERVICE_ONLY = ['url', 'tokenFile'] as const;
const STORES_ONLY = ['redisPrefix', 'as'] as const;

/** A token is never an option: it would be seen in the list of processes and in the shell's history. */
export function addGlobalOptions(program: Command): void {
  program
    .addOption(
      new Option('--url <url>', 'of the service').env('QUOTA_URL').default('http://127.0.0.1:3000'),
    )
    .option('--token-file <file>', 'that has the admin token; otherwise it is ADMIN_TOKEN')
    .option('--stores', 'ask no service but its stores, at REDIS_URL and DATABASE_URL')
    .option('--redis <url>', 'the same with this Redis, whatever REDIS_URL says')
    .option('--postgres <url>', 'the same with this PostgreSQL, whatever DATABASE_URL says')
    .option('--redis-prefix <prefix>', 'of the keys there; quota unless the service has another')
    .option('--as <name>', 'who changes something there, for the audit trail; user@host unless set')
    .option('--json', 'print results as JSON');
}

/** @throws CliError for an option that cannot be used, or stores that cannot be opened */
export async function contextOf(
  command: Command,
  { env, out, err }: Surroundings,
): Promise<Context> {
  const options = command.optsWithGlobals<GlobalOptions>();
  const output = { out, err, json: options.json ?? false };
  const { stores = false, redis, postgres } = options;
  const direct = stores || redis !== undefined || postgres !== undefined;
  for (const name of direct ? SERVICE_ONLY : STORES_ONLY) {
    if (command.getOptionValueSourceWithGlobals(name) !== 'cli') continue;
    throw new CliError(direct ? BOTH : ONLY_STORES, EXIT.usage);
  }
  return { admin: direct ? await storesOf(options, env, output) : serviceOf(options, env), output };
}

const BOTH =
  'Say which: the service (--url, --token-file), or its stores (--stores, --redis, --postgres).';
const ONLY_STORES = '--redis-prefix and --as go with the stores (--stores, --redis, --postgres).';

function serviceOf({ url, tokenFile }: GlobalOptions, env: Surroundings['env']): Admin {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new CliError('--url has to be of the form http://host:port.', EXIT.usage);
  }
  const token = tokenFile === undefined ? env['ADMIN_TOKEN'] : readToken(tokenFile);
  return new ServiceAdmin({ url, token: token === '' ? undefined : token });
}

/** Drivers are loaded only where they are used: who asks a service need not have them. */
async function storesOf(
  { redis, postgres, redisPrefix, as }: GlobalOptions,
  env: Surroundings['env'],
  output: Output,
): Promise<Admin> {
  const postgresUrl = postgres ?? given(env['DATABASE_URL']);
  if (postgresUrl === undefined) {
    throw new CliError(
      'Which PostgreSQL? Say --postgres or set DATABASE_URL. An embedded database belongs to its ' +
        'service alone: ask that.',
      EXIT.usage,
    );
  }
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- the output is CommonJS, where import() of a file would need its built name
  const { openStores } = require('./stores/open') as typeof import('./stores/open');
  return openStores({
    postgresUrl,
    redisUrl: redis ?? given(env['REDIS_URL']),
    redisPrefix,
    decisionsMaxAgeHours: given(env['QUOTA_DECISIONS_MAX_AGE_HOURS']),
    actor: `cli:${as ?? whoami()}`,
    note: (text) => output.err.write(`${text}\n`),
  });
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** A container may run as a user that has no name. */
function whoami(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `${String(process.getuid?.() ?? 'unknown')}@${hostname()}`;
  }
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as { code?: string };
    throw new CliError(`The token file "${file}" cannot be read: ${String(code)}.`, EXIT.usage);
  }
}
