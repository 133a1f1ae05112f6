import { z } from 'zod';
import type { Admin, Query } from './admin';
import { CliError, EXIT } from './errors';

/** Ms for one call: the longest work of the service, a page of an eviction, is bounded far below. */
const CALL_MS = 60_000;

const problem = z.looseObject({
  detail: z.string().optional(),
  title: z.string().optional(),
  errors: z.array(z.looseObject({ where: z.string(), allowed: z.string() })).optional(),
});

export interface ServiceOptions {
  /** Of the service, without a path. */
  readonly url: string;
  /** Bearer token of an admin; never shown. */
  readonly token: string | undefined;
}

const ROLLOUT = '/admin/rollout';

/** Asks the admin API of a running service. */
export class ServiceAdmin implements Admin {
  constructor(private readonly options: ServiceOptions) {}

  getQuota(tenant: string): Promise<unknown> {
    return this.call('GET', pathOf(tenant));
  }

  setQuota(tenant: string, body: object): Promise<unknown> {
    return this.call('PUT', pathOf(tenant), { body });
  }

  listQuotas(query: Query): Promise<unknown> {
    return this.call('GET', '/admin/quotas', { query });
  }

  explain(tenant: string): Promise<unknown> {
    return this.call('GET', `${pathOf(tenant)}/explain`);
  }

  async reconcile(tenant: string, ledgerOnly: boolean): Promise<unknown> {
    if (ledgerOnly) throw new CliError('--ledger goes with the stores (--stores).', EXIT.usage);
    return this.call('POST', `${pathOf(tenant)}/reconcile`);
  }

  evict(tenant: string, body: object): Promise<unknown> {
    return this.call('POST', `${pathOf(tenant)}/evict`, { body });
  }

  rollout(): Promise<unknown> {
    return this.call('GET', ROLLOUT);
  }

  changeRollout(body: object): Promise<unknown> {
    return this.call('PUT', ROLLOUT, { body });
  }

  resetRollout(): Promise<unknown> {
    return this.call('DELETE', ROLLOUT);
  }

  rolloutHistory(query: Query): Promise<unknown> {
    return this.call('GET', `${ROLLOUT}/history`, { query });
  }

  impact(query: Query): Promise<unknown> {
    return this.call('GET', `${ROLLOUT}/impact`, { query });
  }

  simulate(query: Query): Promise<unknown> {
    return this.call('GET', '/admin/simulate', { query });
  }

  usage(query: Query): Promise<unknown> {
    return this.call('GET', '/admin/usage', { query });
  }

  /** The body as it comes, to be sent on. */
  async usageCsv(query: Query): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.send('GET', '/admin/usage', { ...query, format: 'csv' });
    if (!response.ok) throw failure(response.status, await response.text());
    return response.body ?? new Blob([]).stream();
  }

  async close(): Promise<void> {
    return;
  }

  private async call(
    method: 'GET' | 'PUT' | 'POST' | 'DELETE',
    path: string,
    { query = {}, body }: { query?: Query; body?: object } = {},
  ): Promise<unknown> {
    const response = await this.send(method, path, query, body);
    const text = await response.text();
    if (!response.ok) throw failure(response.status, text);
    if (text === '') return null;
    const json = parse(text);
    if (json === undefined) {
      throw new CliError(`${this.options.url} answered with something that is not JSON.`);
    }
    return json;
  }

  private async send(method: string, path: string, query: Query, body?: object): Promise<Response> {
    const { url, token } = this.options;
    const target = new URL(path, url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) target.searchParams.set(name, String(value));
    }
    try {
      return await fetch(target, {
        method,
        headers: {
          Accept: 'application/json',
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(CALL_MS),
      });
    } catch (error) {
      throw new CliError(`${target.origin} does not answer: ${reasonOf(error)}`, EXIT.unavailable);
    }
  }
}

function pathOf(tenant: string): string {
  return `/admin/quotas/${encodeURIComponent(tenant)}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function failure(status: number, text: string): CliError {
  const { data } = problem.safeParse(parse(text));
  const said = data?.detail ?? data?.title ?? `The service answered ${status}.`;
  const wrong = data?.errors?.map(({ where, allowed }) => `\n  ${where}: ${allowed}`) ?? [];
  return new CliError(said + wrong.join(''), exitCodeOf(status));
}

function exitCodeOf(status: number): number {
  switch (status) {
    case 400:
      return EXIT.usage;
    case 401:
    case 403:
      return EXIT.denied;
    case 404:
      return EXIT.notFound;
    case 409:
      return EXIT.conflict;
    case 502:
    case 503:
    case 504:
      return EXIT.unavailable;
    default:
      return EXIT.failed;
  }
}

/** `fetch failed` says nothing; what it failed by is in its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}
