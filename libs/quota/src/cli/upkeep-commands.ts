import { Option, type Command } from 'commander';
import type { Query } from './admin';
import * as answers from './answers';
import { read } from './answers';
import type { Context, Using } from './context';
import { CliError, EXIT } from './errors';
import { mb, printFacts, printJson, printTable, progress } from './output';
import { itemsOf } from './pages';
import { overageMb, percent } from './values';

interface ReconcileOptions {
  readonly all?: boolean;
  readonly ledger?: boolean;
}

interface EvictOptions {
  readonly all?: boolean;
  readonly toMb?: number;
  readonly toPercent?: number;
  readonly reason?: string;
}

/** reconcile, evict: work on what is stored, that may take its time. */
export function addUpkeepCommands(program: Command, using: Using): void {
  program
    .command('reconcile')
    .description('recompute usage from what is stored')
    .argument('[tenants...]')
    .option('--all', 'every tenant that has a quota')
    .option('--ledger', 'with --stores: count the ledger’s own entries, and ask no storage')
    .action(async (tenants: string[], options: ReconcileOptions, command: Command) => {
      const { all = false, ledger = false } = options;
      if (all === tenants.length > 0) {
        throw new CliError('Name the tenants, or say --all, and not both.', EXIT.usage);
      }
      const context = await using(command);
      await reconcile(context, all ? await everyTenant(context) : tenants, ledger);
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
    .option('--reason <text>', 'why, for the audit trail')
    .action(async (tenant: string, options: EvictOptions, command: Command) => {
      const body = targetOf(options);
      if (body === null) {
        throw new CliError('Say how much to leave: --all, --to-mb or --to-percent.', EXIT.usage);
      }
      await evict(await using(command), tenant, body);
    });
}

/** One after another; what fails is told of, and the others follow. */
async function reconcile(
  { admin, output }: Context,
  tenants: readonly string[],
  ledger: boolean,
): Promise<void> {
  const bar = progress(output, tenants.length, 'tenants');
  const reports: unknown[] = [];
  const failures: { tenantId: string; error: CliError }[] = [];
  for (const tenantId of tenants) {
    try {
      reports.push(await admin.reconcile(tenantId, ledger));
    } catch (error) {
      // None of them can be done, and it need be said once.
      if (!(error instanceof CliError) || error.exitCode === EXIT.needsService) throw error;
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

async function everyTenant({ admin }: Context): Promise<string[]> {
  const tenants: string[] = [];
  const ask = (query: Query): Promise<unknown> => admin.listQuotas(query);
  for await (const item of itemsOf(ask, {})) {
    tenants.push(read(answers.quota, item).tenantId);
  }
  return tenants;
}

/** Calls in a row that removed nothing. */
const MOST_IDLE = 10;

/** The service does a part with each call, and says whether there is more. */
async function evict({ admin, output }: Context, tenant: string, body: object): Promise<void> {
  const before = read(answers.quota, await admin.getQuota(tenant)).usage?.usedBytes ?? 0;
  const bar = progress(output, mb(before), 'MB freed');
  let [removed, freedBytes] = [0, 0];
  let resume: string | null = null;
  let idle = 0;
  for (;;) {
    const answer = await admin.evict(tenant, { ...body, ...(resume !== null && { resume }) });
    const part = read(answers.evicted, answer);
    removed += part.evicted;
    freedBytes += part.freedBytes;
    bar.to(mb(freedBytes));
    ({ resume } = part);
    idle = part.evicted > 0 ? 0 : idle + 1;
    if (!part.done && idle < MOST_IDLE) continue;
    bar.stop();
    if (!part.done)
      throw new CliError('Nothing more could be removed; writes are on their way to what is left.');
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

function targetOf({ all, toMb, toPercent, reason }: EvictOptions): object | null {
  const why = { ...(reason !== undefined && { reason }) };
  if (all === true) return { all, ...why };
  if (toMb !== undefined) return { targetMb: toMb, ...why };
  return toPercent === undefined ? null : { targetPercent: toPercent, ...why };
}
