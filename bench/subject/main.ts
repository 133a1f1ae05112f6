// One variant as a process of its own. Started by the bench, which talks to it by messages, and ends
// with it. SUBJECT: its settings as JSON.
import 'reflect-metadata';
import { startApp } from './app';
import { commandsOf, type SubjectCommands } from './control';
import { subjectModule } from './modules';
import type { SubjectSettings } from './settings';

/** A request of the bench. `exit` ends the process the way that lets Node write its profile. */
export interface Ask {
  readonly id: number;
  readonly command: keyof SubjectCommands | 'exit';
  readonly argument?: unknown;
}

/** The subject's word: where it listens, or what became of a request. */
export type Word =
  | { readonly listening: string }
  | { readonly id: number; readonly result?: unknown; readonly error?: string };

function say(word: Word): void {
  process.send?.(word);
}

async function main(): Promise<void> {
  const settings = JSON.parse(process.env['SUBJECT'] ?? '') as SubjectSettings;
  const app = await startApp(await subjectModule(settings), settings.adapter);
  const commands = commandsOf(app);
  process.on('message', ({ id, command, argument }: Ask) => {
    if (command === 'exit') process.exit(0);
    Promise.resolve()
      .then(() => (commands[command] as (argument: unknown) => unknown)(argument))
      .then((result) => say({ id, result }))
      .catch((error: unknown) => say({ id, error: String(error) }));
  });
  say({ listening: await app.getUrl() });
}

process.on('disconnect', () => process.exit(1));
main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
