import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { waitUntil } from '../../support';
import { ADMIN_TOKEN, answer, type Answer } from './service';

const CHILD = join(__dirname, 'service-child.cjs');

/** The service in a process of its own. */
export class ServiceProcess {
  private output = '';
  readonly ended: Promise<unknown[]>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.ended = once(child, 'exit');
  }

  static async start(settings: Record<string, string>): Promise<ServiceProcess> {
    const env = { ...settings, NODE_ENV: 'test', LOG_LEVEL: 'warn', ADMIN_TOKEN };
    const child = spawn(process.execPath, [CHILD], {
      env: { PATH: String(process.env['PATH']), ...env, QUOTA_ENFORCEMENT_ENABLED: 'true' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const started = new ServiceProcess(child);
    await started.says(/^listening (\S+)$/m);
    return started;
  }

  get url(): string {
    return /^listening (\S+)$/m.exec(this.output)?.[1] ?? '';
  }

  /** Of its output, those that the pattern is found in. */
  lines(pattern: RegExp): string[] {
    return this.output.split('\n').filter((line) => pattern.test(line));
  }

  count(pattern: RegExp): number {
    return [...this.output.matchAll(pattern)].length;
  }

  async says(pattern: RegExp): Promise<void> {
    await waitUntil(
      () => {
        if (this.child.exitCode !== null) throw new Error(`It ended: ${this.output}`);
        return pattern.test(this.output);
      },
      { timeoutMs: 30_000, what: () => `${String(pattern)} in ${this.output}` },
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** As the tenant `acme`, unless another is named, and as an admin. */
  async request(
    method: string,
    path: string,
    body?: Uint8Array | string,
    tenant = 'acme',
  ): Promise<Answer> {
    const headers = { 'X-Tenant-ID': tenant, Authorization: `Bearer ${ADMIN_TOKEN}` };
    const init = { method, headers, ...(body !== undefined && { body }) };
    return answer(await fetch(`${this.url}${path}`, init));
  }

  /** Its exit code and signal. */
  async end(): Promise<unknown[]> {
    return this.ended;
  }

  kill(): void {
    if (this.child.exitCode === null) this.child.kill('SIGKILL');
  }
}
