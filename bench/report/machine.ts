import { readFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';

/** What figures were taken on. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  /** Over one minute, before the run began: what else the machine had to do. */
  readonly loadBefore: number;
  /** Of Node, the servers and the packages. */
  readonly versions: Readonly<Record<string, string>>;
}

const PACKAGES = [
  '@nestjs/core',
  '@nestjs/platform-express',
  '@nestjs/platform-fastify',
  'ioredis',
  'pg',
  '@nestjs/throttler',
  '@nest-lab/throttler-storage-redis',
  'rate-limiter-flexible',
  'undici',
];

export async function describeMachine(servers: Record<string, string>): Promise<Machine> {
  const versions: Record<string, string> = { node: process.version, ...servers };
  for (const name of PACKAGES) versions[name] = await versionOf(name);
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1_073_741_824),
    kernel: release(),
    loadBefore: loadavg()[0] ?? 0,
    versions,
  };
}

async function versionOf(name: string): Promise<string> {
  const manifest = await readFile(join('node_modules', name, 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
