import type { RedisClient } from './redis-calls';

type Stream = Extract<RedisClient, { stream: unknown }>['stream'];

const gathering = new WeakSet<Stream>();

/**
 * What is sent on a connection in this turn of the event loop goes to it in one piece, and so its
 * replies come: a system call for all of them instead of one each, here and in Redis. A lone
 * command waits a moment, until the end of the turn, and unlike `enableAutoPipelining` of ioredis no pipeline is
 * made (docs/decisions/0018-cost-of-a-request.md).
 *
 * A Cluster chooses the connection itself; its commands are sent one by one.
 */
export function gatherWrites(client: RedisClient): void {
  if (!('stream' in client)) return;
  const { stream } = client;
  // Undefined until the first connection.
  if ((stream as Stream | undefined) === undefined || gathering.has(stream)) return;
  gathering.add(stream);
  stream.cork();
  setImmediate(() => {
    gathering.delete(stream);
    stream.uncork();
  });
}
