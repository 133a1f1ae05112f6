import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';

/**
 * Kills a server with its children, and removes its folder, when our end of the pipe closes.
 * Jest hides the real `process` from tests, so an exit hook would never run; this works even
 * when Jest itself is killed.
 */
const REAPER = `
read -r _
kill -9 "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null) 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
rm -rf "$2"`;

const OUTPUT_KEPT = 8_192;

export interface ServerCommand {
  command: string;
  args: string[];
  /** Temp folder of this server alone; removed when the server is disposed of. */
  dir: string;
  /** Account to run under; ours if absent. */
  owner?: { uid: number; gid: number } | undefined;
  /** Polled until true. Throwing counts as "not yet". */
  isReady: (pid: number) => Promise<boolean>;
}

/** A child process that is a server: it becomes ready, it can be paused, and it is never left behind. */
export class ServerProcess {
  private child?: ChildProcess;
  private reaper?: ChildProcess;
  private exited: Promise<void> = Promise.resolve();
  private output = '';

  constructor(private readonly server: ServerCommand) {}

  /** @throws Error when the server has not been started. */
  get pid(): number {
    if (this.child?.pid === undefined) {
      throw new Error(`${this.server.command} is not started`);
    }
    return this.child.pid;
  }

  isRunning(): boolean {
    return this.child?.exitCode === null && this.child.signalCode === null;
  }

  /** @throws Error with the server's last output when it exits first or takes over 20 s. */
  async start(): Promise<void> {
    const { command, args, dir, owner } = this.server;
    this.unwatch();
    this.output = '';
    const child = spawn(command, args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'], ...owner });
    this.child = child;
    const keep = (chunk: Buffer): void => {
      this.output = (this.output + chunk.toString()).slice(-OUTPUT_KEPT);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.exited = new Promise((resolve) => {
      // 'close' also follows an 'error', and comes after the last output.
      child.once('close', () => {
        resolve();
      });
    });
    const failure: { error?: Error } = {};
    child.once('error', (error) => (failure.error = error));

    await waitUntil(() => !this.isRunning() || this.becomesReady(child), {
      timeoutMs: 20_000,
      what: () => `${command} to be ready\n${this.output}`,
    });
    if (!this.isRunning()) {
      await this.exited;
      throw failure.error ?? new Error(`${command} stopped at start:\n${this.output}`);
    }
  }

  /** Sends a signal and, if it ends the process, waits for that. SIGKILL takes the children too. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.isRunning()) {
      return;
    }
    if (signal === 'SIGKILL') {
      // Frozen first, so that no child is born between the listing and the kill.
      this.pause();
      const pids = this.signalAll('SIGKILL');
      await this.exited;
      await waitUntil(() => !pids.some(isAlive), { what: () => 'the children to end' });
    } else {
      this.resume();
      this.child?.kill(signal);
    }
    if (signal === 'SIGTERM' || signal === 'SIGINT') {
      await this.exited;
    }
    if (!this.isRunning()) {
      this.unwatch();
    }
  }

  /** Freezes the server and its children: connections stay open, nothing is answered. */
  pause(): void {
    // The parent alone first: a stopped one makes no new children.
    this.child?.kill('SIGSTOP');
    this.signalAll('SIGSTOP');
  }

  resume(): void {
    this.signalAll('SIGCONT');
  }

  /** Ends the server and removes its folder. */
  async dispose(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.kill(signal);
    // A server's children may outlive it for a moment and still write.
    await rm(this.server.dir, { recursive: true, force: true, maxRetries: 10 });
  }

  private becomesReady(child: ChildProcess): Promise<boolean> {
    this.reaper ??= this.watch(child);
    return this.server.isReady(this.pid);
  }

  private signalAll(signal: NodeJS.Signals): number[] {
    const signalled = new Set<number>();
    // The list of children leaves some out while they come and go, until all have stopped.
    for (;;) {
      const pids = this.isRunning() ? [this.pid, ...childrenOf(this.pid)] : [];
      const found = pids.filter((pid) => !signalled.has(pid));
      if (found.length === 0) return [...signalled];
      for (const pid of found) {
        signalled.add(pid);
        try {
          process.kill(pid, signal);
        } catch {
          // A child that has just ended by itself.
        }
      }
    }
  }

  private watch(child: ChildProcess): ChildProcess {
    const args = ['-c', REAPER, 'reaper', String(child.pid), this.server.dir];
    // Detached, so that Ctrl-C does not end the reaper before its work.
    const reaper = spawn('sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    reaper.unref();
    return reaper;
  }

  private unwatch(): void {
    this.reaper?.kill('SIGKILL');
    delete this.reaper;
  }
}

/** Waits for a condition, asking every 20 ms. A condition that throws does not hold yet. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  options: { timeoutMs?: number; what?: () => string } = {},
): Promise<void> {
  const deadline = Date.now() + (options.timeoutMs ?? 10_000);
  let lastError: unknown;
  for (;;) {
    try {
      if (await condition()) {
        return;
      }
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`Gave up waiting for ${options.what?.() ?? 'a condition'}`, {
        cause: lastError,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Runs `start` with a free loopback port, again with another when somebody else was faster.
 *
 * @throws whatever the last of five attempts threw.
 */
export async function withFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePort());
    } catch (error) {
      if (attempt === 5 || !/address already in use|EADDRINUSE/i.test(String(error))) {
        throw error;
      }
    }
  }
}

/** A loopback port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      probe.close(() => {
        resolve(port);
      });
    });
  });
}

/** Linux only; elsewhere a paused server's children go on. */
function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return children.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
