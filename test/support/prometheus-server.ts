import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerProcess, withFreePort } from './server-process';

const HOST = '127.0.0.1';

/** One series of an answer, at one moment. */
export interface PrometheusSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface PrometheusRule {
  readonly name: string;
  readonly type: 'alerting' | 'recording';
  readonly query: string;
  readonly health: string;
  readonly lastError?: string;
}

export interface PrometheusServer {
  readonly url: string;
  /** @throws Error with what Prometheus says of a query that it cannot run. */
  query(expression: string): Promise<PrometheusSample[]>;
  rules(): Promise<PrometheusRule[]>;
  /** Ends the server and its data. */
  stop(): Promise<void>;
}

/**
 * Starts a real Prometheus of its own: free loopback port, temp folder, everything once a second.
 *
 * @param target host and port that it scrapes `/metrics` of, as the job `quota`
 * @param rules files of rules, by their absolute paths
 * @throws Error telling how to install when `prometheus` is missing
 */
export async function startPrometheus(
  target: string,
  rules: readonly string[],
): Promise<PrometheusServer> {
  return withFreePort(async (port) => {
    const dir = await mkdtemp(join(tmpdir(), 'quota-prometheus-'));
    await writeFile(join(dir, 'prometheus.yml'), JSON.stringify(configuration(target, rules)));
    const url = `http://${HOST}:${String(port)}`;
    const server = new ServerProcess({
      command: process.env['PROMETHEUS_BIN'] ?? 'prometheus',
      args: [
        '--config.file=prometheus.yml',
        '--storage.tsdb.path=data',
        `--web.listen-address=${HOST}:${String(port)}`,
        '--log.level=warn',
      ],
      dir,
      isReady: () => answersFrom(url, dir),
    });
    try {
      await server.start();
    } catch (error) {
      await server.dispose();
      throw withAdvice(error);
    }
    return handle(server, url);
  });
}

/** JSON is YAML. */
function configuration(target: string, rules: readonly string[]): object {
  return {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: rules,
    scrape_configs: [{ job_name: 'quota', static_configs: [{ targets: [target] }] }],
  };
}

function handle(server: ServerProcess, url: string): PrometheusServer {
  return {
    url,
    async query(expression) {
      const body = new URLSearchParams({ query: expression });
      const data = await ask<{ result: RawSample[] }>(`${url}/api/v1/query`, body);
      return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
    },
    async rules() {
      const data = await ask<{ groups: { rules: PrometheusRule[] }[] }>(`${url}/api/v1/rules`);
      return data.groups.flatMap(({ rules }) => rules);
    },
    stop: () => server.dispose(),
  };
}

interface RawSample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

async function ask<T>(url: string, body?: URLSearchParams): Promise<T> {
  const response = await fetch(url, body === undefined ? {} : { method: 'POST', body });
  const answer = (await response.json()) as { data: T; error?: string };
  if (!response.ok) throw new Error(`${String(body)}: ${String(answer.error)}`);
  return answer.data;
}

/** True when our own process answers, not a stranger who took the port before us. */
async function answersFrom(url: string, dir: string): Promise<boolean> {
  if (!(await fetch(`${url}/-/ready`)).ok) return false;
  const { CWD } = await ask<{ CWD: string }>(`${url}/api/v1/status/runtimeinfo`);
  return CWD === dir;
}

function withAdvice(error: unknown): unknown {
  // Not instanceof Error: Node's own errors are of another realm than Jest's tests.
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return error;
  return new Error(
    'prometheus was not found. Install it (Debian/Ubuntu: "apt-get install prometheus", ' +
      'macOS: "brew install prometheus") or set PROMETHEUS_BIN to its path.',
    { cause: error },
  );
}
