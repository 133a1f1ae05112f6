import { Option, type Command } from 'commander';
import type { Query } from './admin';
import * as answers from './answers';
import { read } from './answers';
import type { Using } from './context';
import { mb, printFacts, printJson, printTable } from './output';
import { firstOf, itemsOf } from './pages';
import { overageMb, percent, quotaMb, whole } from './values';

interface UsageOptions {
  readonly from: string;
  readonly to: string;
  readonly by: string;
  readonly csv?: boolean;
  readonly max: number;
}

interface SimulateOptions {
  readonly limit?: number;
  readonly overage?: number;
  readonly percent: number;
  readonly since: string;
  readonly tenant?: string;
}

/** usage, simulate: what was, and what would have been. */
export function addReportCommands(program: Command, using: Using): void {
  program
    .command('usage')
    .description('usage over time, for bills')
    .argument('[tenant]')
    .requiredOption('--from <day>', 'the first day, YYYY-MM-DD, UTC')
    .requiredOption('--to <day>', 'the last day')
    .addOption(new Option('--by <period>').choices(['hour', 'day', 'month']).default('day'))
    .addOption(new Option('--csv', 'all of it as CSV').conflicts('json'))
    .option('--max <count>', 'at most so many rows', whole(1, 1_000_000), 1_000)
    .action(async (tenant: string | undefined, options: UsageOptions, command: Command) => {
      const { admin, output } = await using(command);
      const { from, to, by } = options;
      const query = { from, to, by, tenant };
      if (options.csv === true) {
        const body = await admin.usageCsv(query);
        const text = new TextDecoder();
        for await (const part of body) output.out.write(text.decode(part, { stream: true }));
        return;
      }
      const ask = (page: Query): Promise<unknown> => admin.usage(page);
      const { items, more } = await firstOf(itemsOf(ask, query), options.max);
      if (output.json) {
        printJson(output, items);
        return;
      }
      const rows = items.map((item) => {
        const row = read(answers.usagePeriod, item);
        return [
          ...[row.tenantId, row.period, row.byteHours, mb(row.peakBytes)],
          ...[row.writes, row.refusals, row.shadowRefusals, row.warnings],
        ];
      });
      printTable(output, USAGE_HEAD, rows);
      if (more) output.err.write(`There are more; --max ${options.max} ended it.\n`);
    });

  program
    .command('simulate')
    .description('replay recorded writes against another limit: who would have been refused')
    .option('--limit <mb>', 'quota in MB; without, the limit that each write met', quotaMb)
    .option('--overage <mb>', 'with --limit: so much beyond it', overageMb)
    .option('--percent <percent>', 'of the tenants enforced', percent, 100)
    .option('--since <time>', 'a span back from now, such as 24h or 7d, or a time', '24h')
    .option('--tenant <tenant>', 'one alone')
    .action(async (options: SimulateOptions, command: Command) => {
      const { admin, output } = await using(command);
      const { limit: limitMb, overage, since, tenant } = options;
      const query = { limitMb, overageMb: overage, percent: options.percent, since, tenant };
      const answer = await admin.simulate(query);
      if (output.json) {
        printJson(output, answer);
        return;
      }
      const { record, summary, items, next } = read(answers.simulation, answer);
      printFacts(output, {
        since: record.since,
        replayed: `${summary.rows} writes of ${summary.tenants} tenants, ${summary.enforcedTenants} enforced`,
        refused: `${summary.refusals} of ${summary.refusedTenants} tenants, ${mb(summary.refusedBytes)} MB`,
        ...(record.missedWrites > 0 && { 'not recorded': `${record.missedWrites} writes` }),
      });
      if (next !== null)
        output.err.write('The record is longer than one replay; --json has `next`.\n');
      if (items.length === 0) return;
      output.out.write('\n');
      printTable(
        output,
        ['tenant', 'writes', 'refusals', 'MB', 'furthest beyond MB', 'first', 'last'],
        items.map((item) => [
          ...[item.tenantId, item.writes, item.refusals, mb(item.refusedBytes)],
          ...[mb(item.furthestBeyondBytes), item.firstAt, item.lastAt],
        ]),
      );
    });
}

const USAGE_HEAD = [
  ...['tenant', 'period', 'byte-hours', 'peak MB'],
  ...['writes', 'refusals', 'in shadow', 'warnings'],
];
