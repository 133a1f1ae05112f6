import { mkdirSync } from 'node:fs';
import { FAULTS } from './faults';
import { parseOptions, USAGE, UsageError, type Options } from './options';
import { runPhase } from './phase';
import type { PhaseResult } from './phase-result';
import { failed, renderReport, writeJson } from './report';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function run(options: Options): Promise<number> {
  const stop = new AbortController();
  const interrupted = (): void => {
    if (stop.signal.aborted) process.exit(130);
    say('Interrupted: ending what was started. Once more to end at once.');
    stop.abort();
  };
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  say(`seed ${options.seed}`);
  if (options.logs !== null) mkdirSync(options.logs, { recursive: true });
  const phases: PhaseResult[] = [];
  for (const store of options.stores) {
    if (stop.signal.aborted) break;
    const seconds = options.seconds / options.stores.length;
    phases.push(await runPhase({ options, store, seconds, say, signal: stop.signal }));
  }
  say(`\n${renderReport(options, phases)}`);
  if (options.json !== null) writeJson(options.json, options, phases);
  if (stop.signal.aborted) return 130;
  return failed(phases) ? 1 : 0;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), Object.keys(FAULTS));
  if (options !== 'help') return run(options);
  say(USAGE);
  return 0;
}

main().then(
  // Whatever is left open must not keep the run from ending.
  (code) => process.exit(code),
  (error: unknown) => {
    const usage = error instanceof UsageError;
    process.stderr.write(
      usage ? `${error.message}\n\n${USAGE}` : `${String((error as Error).stack)}\n`,
    );
    process.exit(usage ? 2 : 1);
  },
);
