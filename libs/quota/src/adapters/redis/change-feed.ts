import type { Redis } from 'ioredis';
import type { RedisClient } from './redis-calls';

type Listener = (tenant: string, stamp: number) => void;

const FIRST_PAUSE_MS = 50;
/** Not longer: whoever rebuilds the ledger waits so long for all to hear of it (core/ledger-rebuild.ts). */
const LONGEST_PAUSE_MS = 500;
/** A link that died silently is noticed by a ping unanswered. */
const PING_EVERY_MS = 5_000;
const PING_WAIT_MS = 2_000;

/**
 * Listens to one channel on a connection of its own. After every gap the listener is told `'*'`, once
 * the channel is heard again: whatever was announced meanwhile is lost.
 */
export class ChangeFeed {
  private connection: Redis | undefined;
  private stopped = false;
  private missed = false;
  private failures = 0;
  private reopening: NodeJS.Timeout | undefined;
  private heartbeat: NodeJS.Timeout | undefined;
  private onFirst: (() => void) | undefined;

  constructor(
    private readonly client: RedisClient,
    private readonly channel: string,
    private readonly listener: Listener,
  ) {}

  /** Resolves when the channel is heard, or after `waitMs`. @returns the function that ends the feed. */
  async start(waitMs: number): Promise<() => Promise<void>> {
    const heard = new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.missed = true;
        resolve();
      }, waitMs);
      this.onFirst = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.open();
    await heard;
    return () => {
      this.stop();
      return Promise.resolve();
    };
  }

  private stop(): void {
    this.stopped = true;
    clearTimeout(this.reopening);
    clearInterval(this.heartbeat);
    this.connection?.disconnect();
  }

  private open(): void {
    if (this.stopped) return;
    const connection = this.connect();
    if (connection === undefined) {
      this.reopen();
      return;
    }
    this.connection = connection;
    // The reasons come as 'end' too; without a listener ioredis would print them.
    connection.on('error', () => undefined);
    connection.on('message', (_channel: string, text: string) => {
      this.hear(text);
    });
    connection.once('end', () => {
      clearInterval(this.heartbeat);
      this.missed = true;
      this.reopen();
    });
    this.listen(connection).catch(() => {
      connection.disconnect();
    });
  }

  /** A plain connection, in a cluster to any of its nodes: all of them hear what one publishes. */
  private connect(): Redis | undefined {
    const nodes = 'nodes' in this.client ? this.client.nodes('all') : [this.client];
    const node = nodes[Math.floor(Math.random() * nodes.length)];
    return node?.duplicate({
      lazyConnect: true,
      // Reconnecting is done here, where it is known what was missed.
      retryStrategy: null,
      autoResubscribe: false,
      enableOfflineQueue: false,
      connectTimeout: PING_WAIT_MS,
      // A feed may be silent for hours.
      socketTimeout: undefined,
      readOnly: false,
    });
  }

  private async listen(connection: Redis): Promise<void> {
    await connection.connect();
    await connection.subscribe(this.channel);
    this.failures = 0;
    this.heartbeat = setInterval(() => {
      this.ping(connection);
    }, PING_EVERY_MS);
    this.heartbeat.unref();
    if (this.missed) this.tell('*', 0);
    this.missed = false;
    this.onFirst?.();
  }

  private ping(connection: Redis): void {
    const timer = setTimeout(() => {
      connection.disconnect();
    }, PING_WAIT_MS);
    connection
      .ping()
      .catch(() => undefined)
      .finally(() => {
        clearTimeout(timer);
      })
      .catch(() => undefined);
  }

  private reopen(): void {
    if (this.stopped) return;
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.failures, 10), LONGEST_PAUSE_MS);
    this.failures += 1;
    this.reopening = setTimeout(
      () => {
        this.open();
      },
      longest * (0.5 + Math.random() / 2),
    );
    this.reopening.unref();
  }

  private hear(text: string): void {
    const match = /^(\d{1,16}) (.+)$/.exec(text);
    const stamp = Number(match?.[1]);
    const tenant = match?.[2];
    // What cannot be read may have been anyone's change.
    if (tenant === undefined || !Number.isSafeInteger(stamp)) this.tell('*', 0);
    else this.tell(tenant, stamp);
  }

  private tell(tenant: string, stamp: number): void {
    try {
      this.listener(tenant, stamp);
    } catch {
      // A listener's own failure must not end the feed.
    }
  }
}
