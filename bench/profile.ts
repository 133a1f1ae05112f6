import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from './options';
import { SHAPE } from './parts/closed';
import { closedSlice, freshTraffic } from './parts/slice';
import type { Stand } from './stand/stand';
import { variantOf } from './variants';

const TOP = 30;
const WARM_MS = 2_000;
const MEASURED_MS = 8_000;

/** The parts of Node's .cpuprofile that are read. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { functionName: string; url: string; lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Runs one variant under `--cpu-prof`, and prints where its own time goes. */
export async function profileVariant(
  stand: Stand,
  name: string,
  options: BenchOptions,
): Promise<void> {
  const [adapter = 'fastify'] = options.adapters;
  const dir = await mkdtemp(join(tmpdir(), 'quota-profile-'));
  try {
    const flags = ['--cpu-prof', `--cpu-prof-dir=${dir}`];
    const [subject] = await stand.open(adapter, [variantOf(name)], { flags });
    if (subject === undefined) throw new Error(`${name} did not start.`);
    await closedSlice(subject, freshTraffic(SHAPE), { connections: 32, ms: WARM_MS });
    const load = { connections: 32, ms: MEASURED_MS };
    const { result, cpuMicros } = await closedSlice(subject, freshTraffic(SHAPE), load);
    await stand.close();
    const [file = ''] = await readdir(dir);
    const profile = JSON.parse(await readFile(join(dir, file), 'utf8')) as CpuProfile;
    console.log(
      `${adapter} ${name}: ${Math.round(result.perSecond)}/s, ${cpuMicros.toFixed(1)} µs of processor time each`,
    );
    printSelfTimes(profile);
    printTotalTimes(profile);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function printSelfTimes({ nodes, samples, timeDeltas }: CpuProfile): void {
  const nameOf = new Map(nodes.map(({ id, callFrame }) => [id, nameIn(callFrame)]));
  const selfTimes = new Map<string, number>();
  samples.forEach((id, i) => {
    const name = nameOf.get(id) ?? '?';
    selfTimes.set(name, (selfTimes.get(name) ?? 0) + (timeDeltas[i] ?? 0));
  });
  selfTimes.delete('(idle)');
  const total = [...selfTimes.values()].reduce((sum, micros) => sum + micros, 0);
  const sorted = [...selfTimes].sort(([, a], [, b]) => b - a);
  const show = (title: string, rows: [string, number][]): void => {
    console.log(`\n${title}`);
    for (const [name, micros] of rows.slice(0, TOP)) {
      console.log(`${((micros / total) * 100).toFixed(1).padStart(5)} %  ${name}`);
    }
  };
  const byHome = new Map<string, number>();
  for (const [name, micros] of sorted) {
    const home = homeOf(name);
    byHome.set(home, (byHome.get(home) ?? 0) + micros);
  }
  show(
    'Self time by home (idle left out)',
    [...byHome].sort(([, a], [, b]) => b - a),
  );
  show('Self time by function', sorted);
  show(
    'Self time, this project',
    sorted.filter(([name]) => name.includes(' dist/')),
  );
}

/**
 * Time of a function with all that it called, once for each stack it is in. What it awaits is not
 * among it: that runs on a stack of its own.
 */
function printTotalTimes({ nodes, samples, timeDeltas }: CpuProfile): void {
  const own = new Map<number, number>();
  samples.forEach((id, i) => own.set(id, (own.get(id) ?? 0) + (timeDeltas[i] ?? 0)));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const totals = new Map<string, number>();
  let all = 0;
  const walk = (id: number, above: ReadonlySet<string>): number => {
    const node = byId.get(id);
    if (node === undefined) return 0;
    const name = nameIn(node.callFrame);
    if (name === '(idle)') return 0;
    const outermost = !above.has(name);
    const inside = outermost ? new Set(above).add(name) : above;
    let micros = own.get(id) ?? 0;
    for (const child of node.children ?? []) micros += walk(child, inside);
    if (outermost) totals.set(name, (totals.get(name) ?? 0) + micros);
    return micros;
  };
  if (nodes[0] !== undefined) all = walk(nodes[0].id, new Set());
  const rows = [...totals].sort(([, a], [, b]) => b - a).slice(1, TOP * 2 + 1);
  console.log('\nTotal time by function (idle left out)');
  for (const [name, micros] of rows) {
    console.log(`${((micros / all) * 100).toFixed(1).padStart(5)} %  ${name}`);
  }
}

/** The package or folder that a function is from. */
function homeOf(name: string): string {
  const file = name.split('  ')[1] ?? name;
  if (file.startsWith('dist/')) return file.split('/').slice(0, 3).join('/');
  if (file.startsWith('node:')) return file.split(/[/:]/).slice(0, 3).join(':');
  return file
    .split('/')
    .slice(0, file.startsWith('@') ? 2 : 1)
    .join('/');
}

function nameIn({ functionName, url, lineNumber }: CpuProfile['nodes'][0]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url.startsWith('file:') ? relative(process.cwd(), fileURLToPath(url)) : url;
  return `${name}  ${file.replace(/^.*node_modules\//, '')}:${lineNumber + 1}`;
}
