import type { Command } from 'commander';
import type { Query } from './admin';
import * as answers from './answers';
import { read } from './answers';
import type { Context, Using } from './context';
import { mb, printFacts, printJson, printTable } from './output';
import { firstOf, itemsOf, PAGE } from './pages';
import { names, percent, whole } from './values';

/** rollout and its parts: who is enforced, who is watched. */
export function addRolloutCommands(program: Command, using: Using): void {
  const rollout = program
    .command('rollout')
    .description('show or change who is enforced; without a part, show it')
    .action(async (_options: unknown, command: Command) => {
      const { admin, output } = await using(command);
      show(output, await admin.rollout());
    });

  const change = (name: string, about: string, patch: object): void => {
    rollout
      .command(name)
      .description(about)
      .action(async (_options: unknown, command: Command) => put(await using(command), patch));
  };
  change('off', 'nothing is checked, nothing is charged', { enabled: false });
  change('shadow', 'everybody is counted, nobody is refused', { enabled: true, logOnly: true });
  change('everyone', 'everybody is enforced', { enabled: true, logOnly: false, percent: 100 });

  rollout
    .command('tenants')
    .description(
      'enforce these by name, whatever else is set; takes the place of the list there was',
    )
    .argument('<tenants>', 'ids separated by commas', names)
    .action(async (tenants: string[], _options: unknown, command: Command) =>
      put(await using(command), { enabled: true, tenants }),
    );

  rollout
    .command('percent')
    .description('enforce this share of the tenants; a larger one only adds')
    .argument('<percent>', '0 to 100', percent)
    .action(async (share: number, _options: unknown, command: Command) =>
      put(await using(command), { enabled: true, logOnly: false, percent: share }),
    );

  rollout
    .command('reset')
    .description('go back to what the environment says')
    .action(async (_options: unknown, command: Command) => {
      const { admin, output } = await using(command);
      show(output, await admin.resetRollout());
    });

  rollout
    .command('history')
    .description('who changed what, the latest first')
    .option('--max <count>', 'at most so many', whole(1, 10_000), 20)
    .action(async ({ max }: { max: number }, command: Command) => {
      const { admin, output } = await using(command);
      const ask = (query: Query): Promise<unknown> => admin.rolloutHistory(query);
      const { items } = await firstOf(itemsOf(ask, {}, 'before'), max);
      if (output.json) {
        printJson(output, items);
        return;
      }
      const rows = items.map((item) => {
        const { version, changedAt, changedBy, before, after } = read(answers.rolloutChange, item);
        return [version, changedAt, changedBy, said(before), said(after)];
      });
      printTable(output, ['version', 'when', 'who', 'from', 'to'], rows);
    });

  rollout
    .command('impact')
    .description('which tenants were or would have been refused')
    .option('--since <time>', 'a span back from now, such as 24h or 7d, or a time', '24h')
    .action(async ({ since }: { since: string }, command: Command) => {
      const { admin, output } = await using(command);
      const answer = await admin.impact({ since, limit: PAGE });
      if (output.json) {
        printJson(output, answer);
        return;
      }
      const { record, summary, items, next } = read(answers.impact, answer);
      printFacts(output, {
        since: record.since,
        writes: `${summary.writes} by ${summary.tenants} tenants`,
        refused: `${summary.refusedWrites} of ${summary.refusedTenants} tenants, ${mb(summary.refusedBytes)} MB`,
        ...(record.missedWrites > 0 && { 'not recorded': `${record.missedWrites} writes` }),
      });
      if (items.length === 0) return;
      output.out.write('\n');
      printTable(
        output,
        ['tenant', 'writes', 'in shadow', 'refused', 'MB', 'furthest beyond MB', 'last'],
        items.map((item) => [
          ...[item.tenantId, item.writes, item.wouldHaveRefused, item.refused],
          ...[mb(item.refusedBytes), mb(item.furthestBeyondBytes), item.lastAt],
        ]),
      );
      if (next !== null) output.err.write('There are more tenants; --json has `next`.\n');
    });
}

async function put({ admin, output }: Context, body: object): Promise<void> {
  show(output, await admin.changeRollout(body));
}

function show(output: Context['output'], answer: unknown): void {
  if (output.json) {
    printJson(output, answer);
    return;
  }
  const seen = read(answers.rollout, answer);
  const { sources } = seen;
  printFacts(output, {
    enabled: from(seen.enabled, sources['enabled']),
    'log only': from(seen.logOnly, sources['logOnly']),
    percent: from(seen.percent, sources['percent']),
    tenants: from(seen.tenants && (seen.tenants.join(', ') || 'none'), sources['tenants']),
    mode: seen.mode ?? UNSEEN,
    version: seen.version,
    changed: seen.changedBy && `${String(seen.changedAt)} by ${seen.changedBy}`,
  });
  if (seen.killSwitch === true)
    output.err.write('The environment says off, which beats all of it.\n');
  if (!seen.confirmed)
    output.err.write('The database did not answer: this is what was last known.\n');
}

/** The stores do not have it: each instance has its own. */
const UNSEEN = 'as the environment of each instance says';

function from(value: string | number | boolean | null, source: string | undefined): string {
  return `${value === null ? UNSEEN : String(value)} (${String(source)})`;
}

function said(values: Readonly<Record<string, unknown>>): string {
  return Object.entries(values)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(' ');
}
