import { Argument, Option, type Command } from 'commander';
import type { Query } from './admin';
import * as answers from './answers';
import { read, type Quota } from './answers';
import type { Context, Using } from './context';
import { CliError, EXIT } from './errors';
import { mb, printFacts, printJson, printTable, usageBar } from './output';
import { firstOf, itemsOf } from './pages';
import { overageMb, percent, quotaMb, whole } from './values';

const MODES = ['off', 'shadow', 'enforce', 'inherit'];
const PLANS = ['starter', 'pro', 'enterprise'];
const VERSION = whole(0, 2_147_483_647);

/** get, set, plan, list, explain: what tenants may hold, and what they hold. */
export function addQuotaCommands(program: Command, using: Using): void {
  program
    .command('get')
    .description('show a tenant’s quota and what is used of it')
    .argument('<tenant>')
    .action(async (tenant: string, _options: unknown, command: Command) => {
      const { admin, output } = await using(command);
      show(output, await admin.getQuota(tenant));
    });

  program
    .command('set')
    .description('create or change a tenant’s quota; what is left out stays as it is')
    .argument('<tenant>')
    .option('--limit <mb>', 'quota in MB', quotaMb)
    .option('--overage <mb>', 'allow so much beyond it, in MB', overageMb)
    .option('--no-overage', 'allow nothing beyond it')
    .addOption(new Option('--mode <mode>', 'inherit follows the rollout').choices(MODES))
    .option('--expect <version>', 'change nothing unless this is its version', VERSION)
    .action(async (tenant: string, options: SetOptions, command: Command) => {
      const body = bodyOf(options);
      if (Object.keys(body).length === 0) {
        throw new CliError(
          'Say what to set: --limit, --overage, --no-overage or --mode.',
          EXIT.usage,
        );
      }
      const context = await using(command);
      const seen = options.limit === undefined ? await seenOf(context, tenant) : {};
      await put(context, tenant, { ...seen, ...body }, options.expect);
    });

  program
    .command('plan')
    .description('give a tenant the limits of a plan')
    .argument('<tenant>')
    .addArgument(new Argument('<plan>').choices(PLANS))
    .option('--expect <version>', 'change nothing unless this is its version', VERSION)
    .action(
      async (tenant: string, plan: string, { expect }: { expect?: number }, command: Command) => {
        await put(await using(command), tenant, { plan }, expect);
      },
    );

  program
    .command('list')
    .description('list quotas and usage, by tenant id')
    .option('--over', 'tenants beyond their quota alone')
    .option('--near <percent>', 'tenants that use so much of it or more', percent)
    .addOption(new Option('--mode <mode>').choices(MODES.slice(0, 3)))
    .addOption(new Option('--plan <plan>').choices(PLANS))
    .option('--max <count>', 'at most so many', whole(1, 1_000_000), 1_000)
    .action(async ({ max, ...options }: ListOptions, command: Command) => {
      const { admin, output } = await using(command);
      const ask = (query: Query): Promise<unknown> => admin.listQuotas(query);
      const { items, more } = await firstOf(itemsOf(ask, { ...options }), max);
      if (output.json) {
        printJson(output, items);
        return;
      }
      const rows = items.map((item) => rowOf(read(answers.quota, item)));
      printTable(output, LIST_HEAD, rows);
      if (more) output.err.write(`There are more; --max ${max} ended it.\n`);
    });

  program
    .command('explain')
    .description('say what a tenant’s next write would be decided by, and why')
    .argument('<tenant>')
    .action(async (tenant: string, _options: unknown, command: Command) => {
      const { admin, output } = await using(command);
      const answer = await admin.explain(tenant);
      if (output.json) printJson(output, answer);
      else printFacts(output, flat(answer));
    });
}

interface SetOptions {
  readonly limit?: number;
  readonly overage?: number | boolean;
  readonly mode?: string;
  readonly expect?: number;
}

interface ListOptions {
  readonly over?: boolean;
  readonly near?: number;
  readonly mode?: string;
  readonly plan?: string;
  readonly max: number;
}

/** Absent as a flag, `overage` is true by commander: it has a `--no-` form. */
function bodyOf({ limit, overage, mode }: SetOptions): object {
  return {
    ...(limit !== undefined && { quotaMb: limit }),
    ...(typeof overage === 'number' && { overageAllowed: true, overageLimitMb: overage }),
    ...(overage === false && { overageAllowed: false }),
    ...(mode !== undefined && { mode: mode === 'inherit' ? null : mode }),
  };
}

/** The service takes a limit with every change: the present one, unless somebody changes it meanwhile. */
async function seenOf({ admin }: Context, tenant: string): Promise<object> {
  const { quotaMb: limit, version } = read(answers.quota, await admin.getQuota(tenant));
  return { quotaMb: limit, version };
}

async function put(
  { admin, output }: Context,
  tenant: string,
  change: object,
  expect: number | undefined,
): Promise<void> {
  const body = { ...change, ...(expect !== undefined && { version: expect }) };
  show(output, await admin.setQuota(tenant, body));
}

function show(output: Context['output'], answer: unknown): void {
  if (output.json) {
    printJson(output, answer);
    return;
  }
  const quota = read(answers.quota, answer);
  const { usage } = quota;
  const used = usage && percentOf(quota);
  printFacts(output, {
    tenant: quota.tenantId,
    quota: `${quota.quotaMb} MB`,
    overage: quota.overageAllowed ? `${quota.overageLimitMb} MB` : 'none',
    plan: quota.plan ?? null,
    mode: quota.mode ?? 'as the rollout says',
    used: usage && used !== null ? `${mb(usage.usedBytes)} MB, ${used} %  ${usageBar(used)}` : null,
    reserved: usage && `${mb(usage.reservedBytes)} MB`,
    version: quota.version,
  });
}

const LIST_HEAD = ['tenant', 'quota MB', 'overage MB', 'plan', 'mode', 'used MB', '%', 'usage'];

function rowOf(quota: Quota): (string | number | null)[] {
  const { usage } = quota;
  const used = usage === null ? null : percentOf(quota);
  return [
    ...[quota.tenantId, quota.quotaMb, quota.overageAllowed ? quota.overageLimitMb : 0],
    ...[quota.plan ?? null, quota.mode ?? 'inherit'],
    ...[usage && mb(usage.usedBytes), used, used === null ? null : usageBar(used)],
  ];
}

function percentOf({ usage, quotaMb: limit }: Quota): number {
  return Number((((usage?.usedBytes ?? 0) / (limit * 1_048_576)) * 100).toFixed(2));
}

/** `{ a: { b: 1 } }` as `a.b`. */
function flat(value: unknown, prefix = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { [prefix]: value };
  }
  const parts = Object.entries(value).map(([name, inner]) =>
    flat(inner, prefix === '' ? name : `${prefix}.${name}`),
  );
  return Object.assign({}, ...parts) as Record<string, unknown>;
}
