import { SingleBar } from 'cli-progress';

/** Tells on the terminal how far a run is. */
export class Progress {
  private readonly bar: SingleBar;

  constructor(steps: number) {
    this.bar = new SingleBar({
      format: '{bar} {value}/{total} | {duration_formatted} | {what}',
      noTTYOutput: true,
      notTTYSchedule: 15_000,
    });
    this.bar.start(steps, 0, { what: '' });
  }

  /** Another step begins. */
  step(what: string): void {
    this.bar.increment(1, { what });
  }

  stop(): void {
    this.bar.stop();
  }
}
