import { Auditor } from './auditor';
import { bodyOf } from './body';
import { clock } from './clock';
import { Findings } from './findings';
import { Judge } from './judge';
import type { Op } from './model';
import type { Tenant } from './tenants';

const MB = 1_048_576;
const TENANT: Tenant = {
  ...{ id: 'acme', quotaMb: 1, overageMb: 0, keys: ['a', 'b'] },
  ...{ elastic: false, mortal: false },
};

function reply(status: number | null, body: Buffer = Buffer.alloc(0), error: string | null = null) {
  return { status, error, body };
}

/** A history made up: what the harness would have seen of a service. */
class Scene {
  readonly findings = new Findings();
  readonly judge = new Judge(this.findings);
  private ids = 0;

  put(key: string, size: number, status: number | null, tenant = TENANT): Op {
    return this.op('put', key, size, status, tenant);
  }

  delete(key: string, status: number): Op {
    return this.op('delete', key, 0, status, TENANT);
  }

  get(key: string, status: number, body?: Buffer): boolean {
    const history = this.judge.historyOf(TENANT).of(key);
    const before = { settled: history.settled(), lastId: history.lastId };
    return this.judge.read({ tenant: TENANT, key }, before, reply(status, body), 'test');
  }

  private op(
    kind: 'put' | 'delete',
    key: string,
    size: number,
    status: number | null,
    who: Tenant,
  ) {
    const id = ++this.ids;
    const times = { start: clock(), end: Infinity };
    const op: Op = { ...times, id, kind, size, ttlMs: null, outcome: 'pending' };
    this.judge.begin(who, key, op);
    this.judge.end(
      who,
      key,
      op,
      reply(status, undefined, status === null ? 'ECONNRESET' : null),
      't',
    );
    const until = clock() + 0.05;
    while (clock() < until);
    return op;
  }
}

describe('the judge', () => {
  let scene: Scene;

  beforeEach(() => {
    scene = new Scene();
  });

  it('finds nothing in a history that is right', () => {
    const a = scene.put('a', MB / 2, 201);
    const b = scene.put('b', MB / 2, 201);
    scene.put('b', MB / 2 + 1, 429);
    scene.put('b', 2 * MB, 413);
    expect(scene.get('a', 200, bodyOf(a.id, a.size))).toBe(true);
    expect(scene.get('b', 200, bodyOf(b.id, b.size))).toBe(true);
    scene.delete('a', 204);
    expect(scene.get('a', 404)).toBe(true);
    scene.delete('a', 404);
    scene.delete('a', 503);
    expect(scene.findings.failed).toBe(false);
  });

  it('finds a refusal of what fits', () => {
    scene.put('a', MB / 2, 201);
    scene.put('b', MB / 2, 429);
    expect(scene.findings.falseRefusals).toBe(1);
    scene.put('b', MB, 413);
    expect(scene.findings.falseRefusals).toBe(2);
    expect(scene.findings.failed).toBe(true);
  });

  it('takes no refusal for false that a write of unknown outcome explains', () => {
    scene.put('a', MB / 2 + 1, null);
    scene.put('b', MB / 2, 429);
    expect(scene.findings.falseRefusals).toBe(0);
  });

  it('finds a refusal by what was deleted', () => {
    scene.put('a', MB, 201);
    scene.delete('a', 204);
    scene.put('b', 1, 429);
    expect(scene.findings.falseRefusals).toBe(1);
  });

  it('does not say so of a tenant whose quota changes', () => {
    scene.put('a', 1, 429, { ...TENANT, elastic: true });
    expect(scene.findings.failed).toBe(false);
  });

  it('finds a value that is gone, once, and one that is another', () => {
    const a = scene.put('a', 1_000, 201);
    scene.put('b', 500, 201);
    scene.get('a', 404);
    scene.get('a', 404);
    expect(scene.findings.lostBytes).toBe(1_000);
    scene.get('b', 200, bodyOf(a.id, 500));
    expect(scene.findings.lostBytes).toBe(1_500);
    expect(scene.findings.counts).toEqual({ 'lost value': 2 });
  });

  it('finds what a refused write has taken with it', () => {
    scene.put('a', 1_000, 201);
    scene.put('a', 2 * MB, 413);
    scene.get('a', 404);
    expect(scene.findings.told.join()).toContain('after refused writes: 413');
  });

  it('finds a deleted value that is back', () => {
    const a = scene.put('a', 1_000, 201);
    scene.delete('a', 204);
    scene.get('a', 200, bodyOf(a.id, 1_000));
    expect(scene.findings.counts).toEqual({ 'deleted value is back': 1 });
  });

  it('cannot say beside a write of unknown outcome', () => {
    scene.put('a', 1_000, 201);
    scene.put('a', 1_000, 503);
    expect(scene.get('a', 404)).toBe(false);
    expect(scene.findings.failed).toBe(false);
  });

  it('finds a delete that was refused', () => {
    scene.delete('a', 429);
    expect(scene.findings.refusedReleases).toBe(1);
  });

  it('finds wrong statuses and answers that never came', () => {
    scene.judge.status(TENANT, 'PUT', reply(500), 'test');
    scene.judge.status(TENANT, 'PUT', reply(409), 'test');
    scene.judge.status({ ...TENANT, mortal: true }, 'PUT', reply(409), 'test');
    scene.judge.status(TENANT, 'GET', reply(null, undefined, 'TIMEOUT'), 'test');
    scene.judge.status(TENANT, 'GET', reply(null, undefined, 'ECONNRESET'), 'test');
    expect(scene.findings.counts).toEqual({ 'unexpected status': 2, hanging: 1 });
  });
});

describe('the auditor', () => {
  it('finds the most that a tenant holds beyond its limit', () => {
    const findings = new Findings();
    const own = {} as ConstructorParameters<typeof Auditor>[1];
    const auditor = new Auditor('redis', own, [TENANT], findings, () => 'test');
    auditor.check(new Map([['acme', MB]]));
    expect(findings.failed).toBe(false);
    for (const excess of [10, 30, 20]) auditor.check(new Map([['acme', MB + excess]]));
    expect(findings.overAdmittedBytes).toBe(30);
    expect(findings.failed).toBe(true);
  });
});
