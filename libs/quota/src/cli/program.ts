import { Command, CommanderError } from 'commander';
import {
  addGlobalOptions,
  contextOf,
  type Context,
  type Surroundings,
  type Using,
} from './context';
import { CliError, EXIT } from './errors';
import { addQuotaCommands } from './quota-commands';
import { addReportCommands } from './report-commands';
import { addRolloutCommands } from './rollout-commands';
import { addUpkeepCommands } from './upkeep-commands';

const CODES = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 changed by somebody else or not allowed,
5 no admin, 6 not available, 7 only a running service can.`;

/** Runs what was typed, after the name of the program. @returns the exit code; never throws. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { out, err } = surroundings;
  const program = new Command('quota')
    .description('Quotas of a multi-tenant service, over its admin API or straight in its stores')
    .addHelpText('after', CODES)
    .showHelpAfterError('(--help shows what is allowed)')
    .configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) })
    .exitOverride();
  addGlobalOptions(program);
  const opened: Context[] = [];
  const using: Using = async (command) => {
    const context = await contextOf(command, surroundings);
    opened.push(context);
    return context;
  };
  addQuotaCommands(program, using);
  addUpkeepCommands(program, using);
  addRolloutCommands(program, using);
  addReportCommands(program, using);
  try {
    await program.parseAsync(args, { from: 'user' });
    return EXIT.done;
  } catch (error) {
    // Commander has told of its own.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    err.write(`${error instanceof CliError ? error.message : `Unexpected: ${String(error)}`}\n`);
    return error instanceof CliError ? error.exitCode : EXIT.failed;
  } finally {
    await Promise.all(opened.map(({ admin }) => admin.close()));
  }
}
