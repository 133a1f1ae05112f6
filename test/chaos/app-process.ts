import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { clock, sleep, within } from './clock';

const CHILD = join(__dirname, 'child.cjs');
const START_MS = 90_000;
/** One that hangs at a link that hung is ended and tried again, as by an orchestrator's startup probe. */
const ATTEMPT_MS = 15_000;
/** The service lets requests end for 10 s, and its stores a little longer. */
const DRAIN_MS = 20_000;

/** Lines of a log that must not be there, whatever happens to the stores. */
const DEFECT =
  /below_zero|underflow|defect|unhandled|implausible_drop|QUOTABROKEN|TypeError|ReferenceError|RangeError/i;

/** One process of the service, started again and again on the same settings. */
export class AppProcess {
  private child: ChildProcess | null = null;
  private ending = false;
  private agent = new Agent();
  private port = 0;
  /** Since when it is stopped, ending or starting; null: it serves. */
  private away: number | null = clock();
  private readonly absences: { from: number; to: number }[] = [];

  constructor(
    readonly name: string,
    private readonly settings: Readonly<Record<string, string>>,
    private readonly report: (what: string) => void,
    private readonly logFile: string | null,
  ) {}

  /** It listens, is not stopped, and was not told to end. */
  get isLive(): boolean {
    return this.away === null;
  }

  get address(): { port: number; agent: Agent } {
    return { port: this.port, agent: this.agent };
  }

  /** Was it away at some time between the two moments? */
  wasAway(from: number, to: number): boolean {
    if (this.away !== null && this.away <= to) return true;
    return this.absences.some((absence) => absence.from <= to && absence.to >= from);
  }

  /** Again and again, as an orchestrator does: without its database the service ends at the start. */
  async start(): Promise<void> {
    const deadline = clock() + START_MS;
    this.ending = false;
    for (;;) {
      try {
        await this.startOnce();
        return;
      } catch (error) {
        if (this.isEnding()) return;
        if (clock() > deadline) throw error;
        await sleep(200);
      }
    }
  }

  private isEnding(): boolean {
    return this.ending;
  }

  private async startOnce(): Promise<void> {
    const child = spawn(process.execPath, [CHILD], {
      env: { PATH: String(process.env['PATH']), ...this.settings },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child = child;
    const listening = new Promise<number>((resolve, reject) => {
      const read = (line: string): void => {
        const port = /^listening http:\/\/[^:]+:(\d+)/.exec(line)?.[1];
        if (port !== undefined) resolve(Number(port));
        this.read(line);
      };
      eachLine(child.stdout, read);
      eachLine(child.stderr, read);
      child.once('exit', (code, signal) => {
        reject(new Error(`${this.name} ended at start: ${code ?? signal}`));
      });
    });
    try {
      this.port = await within(ATTEMPT_MS, `the start of ${this.name}`, listening);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    this.agent = new Agent({ keepAlive: true, maxSockets: 128 });
    child.once('exit', (code, signal) => this.ended(code, signal));
    this.comeBack();
  }

  private ended(code: number | null, signal: string | null): void {
    if (this.ending) return;
    this.report(`${this.name} ended by itself: ${code ?? signal}`);
    this.leave();
    this.start().catch((error: unknown) => this.report(String(error)));
  }

  async kill(): Promise<void> {
    this.leave();
    await this.end('SIGKILL');
  }

  /** @throws Error when it does not end in time. */
  async terminate(): Promise<void> {
    this.leave();
    const started = clock();
    try {
      const [code, signal] = await within(DRAIN_MS, `the end of ${this.name}`, this.end('SIGTERM'));
      if (code === 0) return;
      this.report(`${this.name} ended with ${String(code ?? signal)} after SIGTERM`);
    } catch {
      this.report(`${this.name} had not ended ${Math.round(clock() - started)} ms after SIGTERM`);
      await this.end('SIGKILL');
    }
  }

  stop(): void {
    this.leave();
    this.child?.kill('SIGSTOP');
  }

  goOn(): void {
    this.child?.kill('SIGCONT');
    this.comeBack();
  }

  private leave(): void {
    this.away ??= clock();
  }

  private comeBack(): void {
    if (this.away !== null) this.absences.push({ from: this.away, to: clock() });
    this.away = null;
  }

  private async end(signal: NodeJS.Signals): Promise<[number | null, string | null]> {
    const { child } = this;
    this.ending = true;
    if (child?.exitCode !== null || child.signalCode !== null) return [child?.exitCode ?? 0, null];
    const ended = once(child, 'exit');
    child.kill(signal);
    const [code, by] = (await ended) as [number | null, string | null];
    this.agent.destroy();
    return [code, by];
  }

  private read(line: string): void {
    if (this.logFile !== null) appendFileSync(this.logFile, `${line}\n`);
    if (DEFECT.test(line)) this.report(`${this.name} logged: ${line.slice(0, 500)}`);
  }
}

function eachLine(stream: NodeJS.ReadableStream | null, read: (line: string) => void): void {
  let rest = '';
  stream?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(read);
  });
}
