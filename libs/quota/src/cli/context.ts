import { Option, type Command } from 'commander';
import { readFileSync } from 'node:fs';
import { AdminClient } from './admin-client';
import { CliError, EXIT } from './errors';
import type { Output } from './output';

/** What every command has: the service it talks to, and where it writes. */
export interface Context {
  readonly client: AdminClient;
  readonly output: Output;
}

/** The context of a command that was typed. @throws CliError */
export type Using = (command: Command) => Context;

/** What the process gives to the command line. */
export interface Surroundings extends Pick<Output, 'out' | 'err'> {
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface GlobalOptions {
  readonly url: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** A token is never an option: it would be seen in the list of processes and in the shell's history. */
export function addGlobalOptions(program: Command): void {
  program
    .addOption(
      new Option('--url <url>', 'of the service').env('QUOTA_URL').default('http://127.0.0.1:3000'),
    )
    .option('--token-file <file>', 'that has the admin token; otherwise it is ADMIN_TOKEN')
    .option('--json', 'print results as JSON');
}

/** @throws CliError for a URL or a file that cannot be used */
export function contextOf(command: Command, { env, out, err }: Surroundings): Context {
  const { url, tokenFile, json = false } = command.optsWithGlobals<GlobalOptions>();
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new CliError('--url has to be of the form http://host:port.', EXIT.usage);
  }
  const token = tokenFile === undefined ? env['ADMIN_TOKEN'] : readToken(tokenFile);
  return {
    client: new AdminClient({ url, token: token === '' ? undefined : token }),
    output: { out, err, json },
  };
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as { code?: string };
    throw new CliError(`The token file "${file}" cannot be read: ${String(code)}.`, EXIT.usage);
  }
}
