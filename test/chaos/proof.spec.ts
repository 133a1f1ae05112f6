import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Report {
  readonly failed: boolean;
  readonly phases: readonly { readonly overAdmittedBytes: number; readonly violations: object }[];
}

/** The run as a process, without faults; its exit code and report. */
async function chaos(env: Record<string, string>): Promise<{ code: number; report: Report }> {
  const dir = await mkdtemp(join(tmpdir(), 'quota-chaos-'));
  const json = join(dir, 'report.json');
  const args = ['--seconds', '5', '--seed', '1', '--store', 'redis', '--faults', 'none'];
  try {
    const code = await new Promise<number>((resolve) => {
      const child = execFile(
        process.execPath,
        [join(__dirname, 'run.cjs'), ...args, '--json', json],
        { env: { ...process.env, ...env }, timeout: 150_000 },
        () => resolve(child.exitCode ?? -1),
      );
    });
    return { code, report: JSON.parse(await readFile(json, 'utf8')) as Report };
  } finally {
    await rm(dir, { recursive: true });
  }
}

describe('the chaos run', () => {
  it('ends with 1 on a service whose limit is broken', async () => {
    const { code, report } = await chaos({ CHAOS_BREAK: 'limit' });
    expect(code).toBe(1);
    expect(report.failed).toBe(true);
    expect(report.phases[0]?.overAdmittedBytes).toBeGreaterThan(0);
  }, 180_000);

  it('ends with 0 on ours', async () => {
    const { code, report } = await chaos({});
    expect(report.phases[0]?.violations).toEqual({});
    expect(code).toBe(0);
  }, 180_000);
});
