export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

interface Access {
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
}

/** What a URL of Redis says. `single` is left to ioredis, which knows more forms of it. */
export type RedisTarget =
  | { readonly kind: 'single'; readonly url: string }
  | (Access & {
      readonly kind: 'sentinel';
      readonly sentinels: readonly RedisAddress[];
      readonly name: string;
      readonly db: number;
    })
  | (Access & { readonly kind: 'cluster'; readonly nodes: readonly RedisAddress[] });

/** What {@link parseRedisUrl} takes. */
export const REDIS_URL_ALLOWED = [
  'redis://…',
  'redis-sentinel://[user:password@]host:port,host:port/master-name[?db=N]',
  'redis-cluster://[user:password@]host:port,host:port',
  'or the same with rediss for TLS',
].join(', ');

const MANY =
  /^(rediss?)-(sentinel|cluster):\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?(.*))?$/;
/** A name, an IPv4 address, or an IPv6 address in brackets; and a port. */
const ADDRESS = /^(?:([A-Za-z0-9._-]{1,253})|\[([0-9A-Fa-f:.]{2,45})\]):([1-9]\d{0,4})$/;
const MASTER_NAME = /^[\w.-]{1,128}$/;
/** Redis has 16 databases unless told otherwise; it says so itself when there are fewer. */
const DB = /^db=(0|[1-9]\d{0,3})$/;

/** What is wrong, without anything of the text that might be a credential. */
export class RedisUrlError extends Error {}

/** @throws RedisUrlError saying what is wrong, without credentials */
export function parseRedisUrl(text: string): RedisTarget {
  if (/^rediss?:\/\//.test(text)) {
    if (!URL.canParse(text)) throw new RedisUrlError('it is not a URL');
    if (new URL(text).hostname.includes(',')) {
      throw new RedisUrlError(
        'redis:// takes one host; for several say redis-sentinel or redis-cluster',
      );
    }
    return { kind: 'single', url: text };
  }
  const match = MANY.exec(text);
  if (match === null) throw new RedisUrlError(wrongForm(text));
  const [, scheme, kind, credentials, hosts = '', path = '', query] = match;
  const access = { ...accessOf(credentials), tls: scheme === 'rediss' };
  const addresses = addressesOf(hosts);
  if (kind === 'cluster') {
    if (path !== '') throw new RedisUrlError('a Cluster has no master name or database');
    if (query !== undefined)
      throw new RedisUrlError('a Cluster takes no "?" options, it has one database');
    return { kind: 'cluster', nodes: addresses, ...access };
  }
  if (!MASTER_NAME.test(path))
    throw new RedisUrlError('the name of the master is missing or not usable');
  return { kind: 'sentinel', sentinels: addresses, name: path, db: dbOf(query), ...access };
}

function wrongForm(text: string): string {
  if (!/^rediss?-(sentinel|cluster):\/\//.test(text))
    return 'it does not begin with a known scheme';
  return 'the part after "://" has not the form below; escape @ / ? # in a password (%40 %2F %3F %23)';
}

function addressesOf(hosts: string): RedisAddress[] {
  const all = hosts.split(',');
  return all.map((text, i) => {
    const [, name, ipv6, port] = ADDRESS.exec(text.trim()) ?? [];
    const host = name ?? ipv6;
    if (host === undefined || Number(port) > 65_535) {
      throw new RedisUrlError(`host ${String(i + 1)} of ${String(all.length)} is not a host:port`);
    }
    return { host, port: Number(port) };
  });
}

function accessOf(credentials: string | undefined): { username?: string; password?: string } {
  if (credentials === undefined || credentials === '') return {};
  const colon = credentials.indexOf(':');
  if (colon === -1) throw new RedisUrlError('the credentials are not user:password, or :password');
  try {
    const username = decodeURIComponent(credentials.slice(0, colon));
    const password = decodeURIComponent(credentials.slice(colon + 1));
    return { ...(username !== '' && { username }), password };
  } catch {
    throw new RedisUrlError('the credentials have a "%" that is no escape');
  }
}

function dbOf(query: string | undefined): number {
  if (query === undefined) return 0;
  const [, db] = DB.exec(query) ?? [];
  if (db === undefined) throw new RedisUrlError('the only option is ?db=N');
  return Number(db);
}
