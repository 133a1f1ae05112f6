import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import { ADMIN_TOKEN, Service, type Tenant } from '../../e2e/support/service';
import { Servers } from '../../e2e/support/stacks';
import { waitUntil } from '../../support';

/** An instance that dies at a point that was named. */
export interface Dying {
  readonly url: string;
  /** Resolves to its exit code and the signal it ended by. */
  readonly ended: Promise<unknown[]>;
  /** Resolves when it says so. */
  says(text: string): Promise<void>;
  goOn(): void;
  /** Stands still until the next one: deaf to everything, and its holds with it. */
  standStill(): void;
  wake(): void;
}

/** The service with values in PostgreSQL: one instance that survives, and others that do not. */
export class Stand {
  private readonly children: ChildProcess[] = [];

  private constructor(
    readonly servers: Servers,
    private readonly settings: Record<string, string>,
    private readonly database: DataSource,
    readonly survivor: Service,
  ) {}

  static async start(more: Record<string, string>): Promise<Stand> {
    const servers = await Servers.start();
    const own = await servers.settings({ adapter: 'express', stores: 'postgres' });
    const settings = { ...own, ...more };
    const survivor = await Service.start(settings);
    const databaseUrl = String(settings['DATABASE_URL']);
    const database = await createDataSource({ databaseUrl, dataDir: 'unused' });
    return new Stand(servers, settings, database, survivor);
  }

  async stop(): Promise<void> {
    await this.survivor.stop();
    await this.database.destroy();
    await this.servers.stop();
  }

  /** Ends those that have not died, as when a test failed before. */
  endAll(): void {
    for (const child of this.children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
  }

  /** An instance that dies at this point; see dying-service.cjs. */
  async dying(killAt: string): Promise<Dying> {
    const child = spawn(process.execPath, [join(__dirname, 'dying-service.cjs')], {
      env: {
        ...{ PATH: String(process.env['PATH']), NODE_ENV: 'test', LOG_LEVEL: 'warn', ADMIN_TOKEN },
        ...{ ...this.settings, QUOTA_ENFORCEMENT_ENABLED: 'true', KILL_AT: killAt },
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.children.push(child);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, 'exit');
    const says = (text: string): Promise<void> =>
      waitUntil(() => output.includes(text), { timeoutMs: 30_000, what: () => output });
    await says('listening ');
    const url = /^listening (\S+)$/m.exec(output)![1]!;
    return {
      ...{ url, ended, says },
      goOn: () => void child.stdin.write('\n'),
      standStill: () => void child.kill('SIGSTOP'),
      wake: () => void child.kill('SIGCONT'),
    };
  }

  /** Bytes that are really there, asked of the database and nobody else. */
  async stored(tenant: Tenant): Promise<number> {
    const [row] = await this.database.query<{ live: string }[]>(
      `SELECT coalesce(sum(octet_length(body)), 0) AS live FROM cache_entries
       WHERE tenant_id = $1 AND NOT deleted AND (expires_at IS NULL OR expires_at > now())`,
      [tenant.id],
    );
    return Number(row?.live);
  }
}
