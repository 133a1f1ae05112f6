import { Option, type Command } from 'commander';
import * as answers from './answers';
import { read } from './answers';
import type { Context, Using } from './context';
import { CliError, EXIT } from './errors';
import { mb, printFacts, printJson, printTable, progress } from './output';
import { itemsOf } from './pages';
import { pathOf } from './quota-commands';
import { overageMb, percent } from './values';

interface EvictOptions {
  readonly all?: boolean;
  readonly toMb?: number;
  readonly toPercent?: number;
}

/** reconcile, evict: work on what is stored, that may take its time. */
export function addUpkeepCommands(program: Command, using: Using): void {
  program
    .command('reconcile')
    .description('recompute usage from what is stored')
    .argument('[tenants...]')
    .option('--all', 'every tenant that has a quota')
    .action(async (tenants: string[], { all = false }: { all?: boolean }, command: Command) => {
      if (all === tenants.length > 0) {
        throw new CliError('Name the tenants, or say --all, and not both.', EXIT.usage);
      }
      const context = using(command);
      await reconcile(context, all ? await everyTenant(context) : tenants);
    });

  program
    .command('evict')
    .description('remove a tenant’s entries, the oldest first, until it holds no more than that')
    .argument('<tenant>')
    .addOption(new Option('--all', 'all of them').conflicts(['toMb', 'toPercent']))
    .addOption(
      new Option('--to-mb <mb>', 'until it uses so much')
        .argParser(overageMb)
        .conflicts('toPercent'),
    )
    .option('--to-percent <percent>', 'until it uses so much of its quota', percent)
    .action(async (tenant: string, options: EvictOptions, command: Command) => {
      const body = targetOf(options);
      if (body === null) {
        throw new CliError('Say how much to leave: --all, --to-mb or --to-percent.', EXIT.usage);
      }
      await evict(using(command), tenant, body);
    });
}

/** One after another; what fails is told of, and the others follow. */
async function reconcile({ client, output }: Context, tenants: readonly string[]): Promise<void> {
  const bar = progress(output, tenants.length, 'tenants');
  const reports: unknown[] = [];
  const failures: { tenantId: string; error: CliError }[] = [];
  for (const tenantId of tenants) {
    try {
      reports.push(await client.call('POST', `${pathOf(tenantId)}/reconcile`));
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      failures.push({ tenantId, error });
    }
    bar.to(reports.length + failures.length);
  }
  bar.stop();
  if (output.json) printJson(output, reports);
  else if (reports.length > 0) {
    const rows = reports.map((report) => {
      const { tenantId, driftBytes, corrected, usedBytes } = read(answers.reconciled, report);
      return [tenantId, driftBytes, corrected, mb(usedBytes)];
    });
    printTable(output, ['tenant', 'drift bytes', 'corrected', 'used MB'], rows);
  }
  for (const { tenantId, error } of failures) output.err.write(`${tenantId}: ${error.message}\n`);
  const [first] = failures;
  if (first === undefined) return;
  throw new CliError(
    `${failures.length} of ${tenants.length} tenants were not reconciled.`,
    first.error.exitCode,
  );
}

async function everyTenant({ client }: Context): Promise<string[]> {
  const tenants: string[] = [];
  for await (const item of itemsOf(client, '/admin/quotas', {})) {
    tenants.push(read(answers.quota, item).tenantId);
  }
  return tenants;
}

/** The service does a part with each call, and says whether there is more. */
async function evict({ client, output }: Context, tenant: string, body: object): Promise<void> {
  const before =
    read(answers.quota, await client.call('GET', pathOf(tenant))).usage?.usedBytes ?? 0;
  const bar = progress(output, mb(before), 'MB freed');
  let [removed, freedBytes] = [0, 0];
  for (;;) {
    const answer = await client.call('POST', `${pathOf(tenant)}/evict`, { body });
    const part = read(answers.evicted, answer);
    removed += part.evicted;
    freedBytes += part.freedBytes;
    bar.to(mb(freedBytes));
    if (!part.done && part.evicted > 0) continue;
    bar.stop();
    if (!part.done)
      throw new CliError('Nothing more could be removed; see the log of the service.');
    const result = { tenantId: tenant, evicted: removed, freedBytes, usedBytes: part.usedBytes };
    if (output.json) {
      printJson(output, result);
      return;
    }
    printFacts(output, {
      tenant,
      evicted: `${removed} entries`,
      freed: `${mb(freedBytes)} MB`,
      used: `${mb(part.usedBytes)} MB`,
    });
    return;
  }
}

function targetOf({ all, toMb, toPercent }: EvictOptions): object | null {
  if (all === true) return { all };
  if (toMb !== undefined) return { targetMb: toMb };
  return toPercent === undefined ? null : { targetPercent: toPercent };
}
