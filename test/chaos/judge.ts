import { bodyOf } from './body';
import { clock } from './clock';
import type { Findings } from './findings';
import type { Reply } from './http';
import { TenantHistory, type KeyHistory, type Op, type Outcome, type Settled } from './model';
import { hardBytes, type Tenant } from './tenants';

/** Clocks of the servers are this machine's; what is so near its expiry is left alone. */
const EXPIRY_MARGIN_MS = 150;

const FINE: Readonly<Record<string, readonly number[]>> = {
  PUT: [200, 201, 413, 429, 503],
  GET: [200, 404, 503],
  DELETE: [204, 404, 503],
};

/** Holds what clients were answered against what they know. */
export class Judge {
  /** Readings of which it was known what they had to be. */
  readings = 0;
  private readonly histories = new Map<string, TenantHistory>();

  constructor(private readonly findings: Findings) {}

  historyOf({ id }: Tenant): TenantHistory {
    let history = this.histories.get(id);
    if (history === undefined) this.histories.set(id, (history = new TenantHistory()));
    return history;
  }

  begin(tenant: Tenant, key: string, op: Op): void {
    this.historyOf(tenant).of(key).begin(op);
  }

  /** The end of a write or delete. `when`: what is told with a finding. */
  end(tenant: Tenant, key: string, op: Op, { status, error }: Reply, when: string): void {
    op.end = clock();
    op.outcome = outcomeOf(op, status, error);
    if (status !== null) op.answer = status;
    const name = `${tenant.id}/${key}`;
    if (op.kind === 'put' && (status === 429 || status === 413)) {
      this.refused(tenant, key, op, status, when);
    }
    if (op.kind === 'delete' && status !== null && !FINE['DELETE']?.includes(status)) {
      this.findings.refusedRelease(`DELETE ${name} was answered ${status} (${when})`);
    }
  }

  /** Any answer: its status, and whether there was one. */
  status(tenant: Tenant, method: string, { status, error, body }: Reply, when: string): void {
    if (error === 'TIMEOUT') this.findings.add('hanging', `${method} of ${tenant.id} (${when})`);
    if (status === null || FINE[method]?.includes(status) === true) return;
    if (tenant.mortal && status === 409) return;
    const text = body.toString();
    const code = /"error":"(\w+)"/.exec(text)?.[1] ?? text.slice(0, 200);
    this.findings.add(
      'unexpected status',
      `${method} of ${tenant.id}: ${status} ${code} (${when})`,
    );
  }

  /** A reading, with what was settled before it began; `history` is as it is now. */
  read(
    at: { readonly tenant: Tenant; readonly key: string },
    before: { readonly settled: Settled | null; readonly lastId: number },
    { status, body }: Reply,
    when: string,
  ): boolean {
    const history: KeyHistory = this.historyOf(at.tenant).of(at.key);
    if (before.settled === null || at.tenant.mortal || history.lastId !== before.lastId)
      return false;
    if (status !== 200 && status !== 404) return false;
    const { op, refusedSince } = before.settled;
    if (op.ttlMs !== null && clock() > op.start + op.ttlMs - EXPIRY_MARGIN_MS) return false;
    this.readings += 1;
    const name = `${at.tenant.id}/${at.key}`;
    const answers = [...new Set(refusedSince.map(({ answer }) => answer ?? 'no answer'))];
    const since = answers.length > 0 ? `, after refused writes: ${answers.join(', ')}` : '';
    if (op.kind === 'delete') {
      if (status === 200) this.findings.add('deleted value is back', `${name} (${when}${since})`);
      return true;
    }
    if (status === 404) {
      this.findings.loss(op.id, op.size, `${name}, ${op.size} bytes, is gone (${when}${since})`);
    } else if (!body.equals(bodyOf(op.id, op.size))) {
      const got = `${body.length} bytes beginning "${body.subarray(0, 12).toString()}"`;
      const wanted = `${op.size} bytes of write ${op.id}`;
      this.findings.loss(op.id, op.size, `${name} has ${got}, not the ${wanted} (${when}${since})`);
    }
    return true;
  }

  private refused(tenant: Tenant, key: string, op: Op, status: number, when: string): void {
    if (tenant.elastic || tenant.mortal) return;
    const hard = hardBytes(tenant);
    const most = status === 413 ? op.size : this.historyOf(tenant).most(key, op);
    if (most > hard) return;
    this.findings.falseRefusal(
      `${tenant.id}/${key}: ${status} for ${op.size} bytes, though with it the tenant cannot have ` +
        `used more than ${most} of ${hard} (${when})`,
    );
  }
}

export function outcomeOf({ kind }: Op, status: number | null, error: string | null): Outcome {
  if (status === null) {
    if (error === 'ECONNREFUSED') return 'refused';
    return error === 'LEFT' ? 'aborted' : 'unknown';
  }
  if (status >= 500) return 'unknown';
  if (kind === 'delete' && (status === 204 || status === 404)) return 'deleted';
  return status < 300 ? 'stored' : 'refused';
}
