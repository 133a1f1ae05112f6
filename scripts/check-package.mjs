// Packs the library and uses it as somebody would who has installed it: a project of its own, which
// sees nothing but what package.json lists. Finds unlisted packages, missing files, broken types.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const consumer = resolve('.tmp/consumer');
const modules = join(consumer, 'node_modules');
const manifest = JSON.parse(readFileSync('libs/quota/package.json', 'utf8'));

// What a Nest application has anyway, for the program below and its compilation.
const COMPANIONS = ['@nestjs/platform-express', '@types/node'];

const APP = `
import 'reflect-metadata';
import { Controller, Module, Put } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EnforceCacheQuota, QuotaModule, RedisUsageTracker, keyFromParam } from 'nestjs-cache-quota';

@Controller()
class Store {
  @Put(':key')
  @EnforceCacheQuota({ key: keyFromParam('key') })
  put(): string {
    return 'stored';
  }
}

@Module({ imports: [QuotaModule.forRoot({ defaultQuotaMb: 1 })], controllers: [Store] })
class App {}

async function main(): Promise<void> {
  // Loads every Lua script.
  new RedisUsageTracker({} as ConstructorParameters<typeof RedisUsageTracker>[0]);
  const app = await NestFactory.create(App, { logger: ['error'], bodyParser: false });
  await app.listen(0, '127.0.0.1');
  const answer = await fetch(\`\${await app.getUrl()}/hello\`, {
    method: 'PUT',
    headers: { 'x-tenant-id': 'acme' },
    body: 'x'.repeat(524_288),
  });
  const used = answer.headers.get('x-cache-quota-used');
  await app.close();
  if (answer.status !== 200 || used !== '0.5') throw new Error(\`\${answer.status}, used \${used}\`);
}

void main();
`;

function link(name) {
  const target = join(modules, name);
  mkdirSync(dirname(target), { recursive: true });
  symlinkSync(resolve('node_modules', name), target);
}

rmSync(consumer, { recursive: true, force: true });
mkdirSync(join(modules, manifest.name), { recursive: true });
execFileSync(process.execPath, ['scripts/build-library.mjs'], { stdio: 'inherit' });
const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', consumer], {
  cwd: 'libs/quota',
  encoding: 'utf8',
}).trim();
execFileSync('tar', ['-xzf', packed, '--strip-components=1', '-C', join(modules, manifest.name)], {
  cwd: consumer,
});
const optional = Object.keys(manifest.peerDependenciesMeta);
const peers = Object.keys(manifest.peerDependencies).filter((name) => !optional.includes(name));
[...Object.keys(manifest.dependencies), ...peers, ...COMPANIONS].forEach(link);

// Types are not looked into by the compiler below, so an unlisted package would pass as `any`.
const listed = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)];
const unlisted = readdirSync('libs/quota/dist', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.d.ts'))
  .flatMap((file) => [
    ...readFileSync(join('libs/quota/dist', file), 'utf8').matchAll(/from '([^.'][^']*)'/g),
  ])
  .map(([, name]) => name)
  .filter((name) => !name.startsWith('node:'))
  .filter((name) => !listed.some((known) => name === known || name.startsWith(`${known}/`)));
if (unlisted.length > 0) {
  throw new Error(`declarations use packages that are not listed: ${unlisted.join(', ')}`);
}

writeFileSync(join(consumer, 'package.json'), '{ "private": true }');
writeFileSync(join(consumer, 'main.ts'), APP);
const tsc = [
  resolve('node_modules/typescript/bin/tsc'),
  ...[
    '--ignoreConfig',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
  ],
  ...['--experimentalDecorators', '--emitDecoratorMetadata', '--skipLibCheck', 'main.ts'],
];
execFileSync(process.execPath, tsc, { cwd: consumer, stdio: 'inherit' });
execFileSync(process.execPath, ['main.js'], { cwd: consumer, stdio: 'inherit', timeout: 30_000 });
const bin = join(modules, manifest.name, manifest.bin[manifest.name]);
execFileSync(process.execPath, [bin, '--help'], { cwd: consumer, timeout: 30_000 });
console.log(`ok: ${packed} installs, compiles and runs on its own`);
