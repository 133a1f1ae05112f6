import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { SubjectCommands } from '../subject/control';
import type { Ask, Word } from '../subject/main';
import type { SubjectSettings } from '../subject/settings';
import { variantOf, type Variant } from '../variants';

const MAIN = join(__dirname, '../subject/main.js');
const START_MS = 30_000;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

type Argument<K extends keyof SubjectCommands> = Parameters<SubjectCommands[K]>;
type Result<K extends keyof SubjectCommands> = Awaited<ReturnType<SubjectCommands[K]>>;

/** A variant that serves in a process of its own. */
export class Subject {
  private readonly waiting = new Map<number, Waiting>();
  private asked = 0;

  private constructor(
    readonly settings: SubjectSettings,
    readonly url: string,
    private readonly child: ChildProcess,
  ) {
    child.on('message', (word: Word) => this.hear(word));
    child.once('exit', (code, signal) => this.ended(code ?? signal));
  }

  /**
   * @param flags of Node, e.g. `--expose-gc`
   * @throws Error when it ends, or does not listen, within 30 s.
   */
  static async start(settings: SubjectSettings, flags: readonly string[] = []): Promise<Subject> {
    const child = fork(MAIN, {
      env: { ...process.env, NODE_ENV: 'production', SUBJECT: JSON.stringify(settings) },
      execArgv: [...flags],
    });
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`${settings.variant} ended at its start: ${String(code)}`);
    });
    const late = AbortSignal.timeout(START_MS);
    const heard = once(child, 'message', { signal: late });
    try {
      const [word] = (await Promise.race([heard, failed])) as [Word];
      if (!('listening' in word)) throw new Error(`${settings.variant} said something else`);
      failed.catch(() => undefined);
      return new Subject(settings, word.listening, child);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  get variant(): Variant {
    return variantOf(this.settings.variant);
  }

  /** @throws Error with what the subject says. */
  ask<K extends keyof SubjectCommands>(command: K, ...[argument]: Argument<K>): Promise<Result<K>> {
    const id = this.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.child.send({ id, command, argument } satisfies Ask);
    });
  }

  /** Ends it; Node then writes a profile if the flags said so. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.send({ id: this.asked++, command: 'exit' } satisfies Ask);
    await ended;
  }

  private hear(word: Word): void {
    if (!('id' in word)) return;
    const waiting = this.waiting.get(word.id);
    this.waiting.delete(word.id);
    if (word.error === undefined) waiting?.resolve(word.result);
    else waiting?.reject(new Error(`${this.settings.variant}: ${word.error}`));
  }

  private ended(how: number | string | null): void {
    for (const { reject } of this.waiting.values()) {
      reject(new Error(`${this.settings.variant} ended: ${String(how)}`));
    }
    this.waiting.clear();
  }
}
