import { InvalidArgumentError, Command, Option } from 'commander';
import { ADAPTERS, VARIANTS, variantOf, type Adapter, type Variant } from './variants';

/** The parts of a run, in their order. */
export const PARTS = ['closed', 'open', 'sweeps', 'below', 'memory'] as const;
export type Part = (typeof PARTS)[number];

/** What a run was told. */
export interface BenchOptions {
  readonly short: boolean;
  readonly variants: readonly Variant[];
  readonly adapters: readonly Adapter[];
  readonly parts: readonly Part[];
  readonly rounds: number;
  /** Of one slice of the closed loop. */
  readonly seconds: number;
  /** Of one slice of the open loop. */
  readonly openSeconds: number;
  /** Only writes the report and the plots anew from results.json. */
  readonly render: boolean;
  /** Profiles this variant instead. */
  readonly profile?: string;
}

/** Reads the command line; ends the process after --help and on what it does not understand. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const names = VARIANTS.map(({ name, about }) => `  ${name.padEnd(26)}${about}`).join('\n');
  const command = new Command('npm run bench --')
    .description(
      'Measures a route behind this guard beside the bare route and beside rate limiters, all in one ' +
        'run, interleaved. Starts a Redis and a PostgreSQL of its own. Writes bench/RESULTS.md, ' +
        'bench/results.json and plots.',
    )
    .option(
      '--short',
      'under a minute, for CI: ends with 1 when a ratio falls below its floor',
      false,
    )
    .addOption(
      new Option('--variants <names>', 'comma list of those below; bare is always measured')
        .argParser(listOf(variantOf))
        .default(VARIANTS, 'all'),
    )
    .addOption(
      new Option('--adapters <names>', `comma list of ${ADAPTERS.join(', ')}`)
        .argParser(oneOf(ADAPTERS))
        .default(ADAPTERS, 'both'),
    )
    .addOption(
      new Option('--parts <names>', `comma list of ${PARTS.join(', ')}`)
        .argParser(oneOf(PARTS))
        .default(PARTS, 'all'),
    )
    .option('--rounds <number>', 'rounds over all variants', positive, 5)
    .option('--seconds <number>', 'of one slice of the closed loop', positive, 1)
    .option('--open-seconds <number>', 'of one slice of the open loop', positive, 2)
    .option('--render', 'only writes report and plots anew from results.json', false)
    .addOption(new Option('--profile <variant>', 'top functions of a variant, by --cpu-prof'))
    .addHelpText('after', `\nVariants:\n${names}`)
    .parse([...argv], { from: 'user' });
  const options = command.opts<BenchOptions>();
  const bare = options.variants.some(({ name }) => name === 'bare') ? [] : [variantOf('bare')];
  return { ...options, variants: [...bare, ...options.variants] };
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Allowed: a number above 0.');
}

function listOf<T>(parse: (name: string) => T): (text: string) => readonly T[] {
  return (text) =>
    text.split(',').map((name) => {
      try {
        return parse(name.trim());
      } catch (error) {
        throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
      }
    });
}

function oneOf<T extends string>(allowed: readonly T[]): (text: string) => readonly T[] {
  return listOf((name) => {
    const found = allowed.find((one) => one === name);
    if (found === undefined) throw new Error(`Allowed: ${allowed.join(', ')}.`);
    return found;
  });
}
