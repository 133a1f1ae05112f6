import { quotaRedisOptions, ServerWatch } from '../../../libs/quota/src/adapters/redis';
import { startRedis, waitUntil } from '../../support';
import { startReplicated } from './replica';

it('a lost connection is no other server; a restart with the same data is', async () => {
  const server = await startRedis({ args: ['--appendonly', 'yes'] });
  try {
    const client = server.client(quotaRedisOptions);
    const changed: string[] = [];
    let readies = 0;
    client.on('ready', () => (readies += 1));
    const watch = new ServerWatch(client);
    watch.start({ changed: (identity) => changed.push(identity) });
    await waitUntil(() => readies === 1);
    await client.set('k', 'v');
    client.disconnect(true);
    await waitUntil(() => readies === 2);
    await client.info();
    expect(changed).toEqual([]);
    await server.restart();
    await waitUntil(() => changed.length === 1);
    expect(await client.get('k')).toBe('v');
    await server.restart();
    await waitUntil(() => changed.length === 2);
    expect(new Set(changed).size).toBe(2);
    watch.stop();
    await server.restart();
    await waitUntil(() => readies === 5);
    await client.info();
    expect(changed).toHaveLength(2);
  } finally {
    await server.stop();
  }
});

it('a server that is master for the second time is another one', async () => {
  const { master, replica, inStep, stop } = await startReplicated();
  try {
    const client = replica.client(quotaRedisOptions);
    await waitUntil(() => client.status === 'ready');
    await client.replicaof('NO', 'ONE');
    const changed: string[] = [];
    const watch = new ServerWatch(client);
    watch.start({ changed: (identity) => changed.push(identity) });
    await client.info();
    await client.replicaof('127.0.0.1', master.port);
    await inStep();
    let readies = 0;
    client.on('ready', () => (readies += 1));
    client.disconnect(true);
    await waitUntil(() => readies === 1);
    await client.info();
    expect(changed).toEqual([]);
    await client.replicaof('NO', 'ONE');
    // It is asked again while it is not a master.
    await waitUntil(() => changed.length === 1);
    watch.stop();
  } finally {
    await stop();
  }
});
