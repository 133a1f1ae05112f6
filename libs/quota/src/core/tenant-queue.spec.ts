import { setImmediate as turn } from 'node:timers/promises';
import { TenantQueue } from './tenant-queue';

/** Work that ends when it is told to, in the order in which it began. */
function gated(atOnce: number) {
  const began: string[] = [];
  const gates: ((error?: Error) => void)[] = [];
  const errors: string[] = [];
  const queue = new TenantQueue<number>(
    atOnce,
    (tenant, task) => {
      began.push(`${tenant} ${task}`);
      return new Promise((resolve, reject) => {
        gates.push((error) => (error ? reject(error) : resolve()));
      });
    },
    (error, tenant) => errors.push(`${tenant}: ${String(error)}`),
  );
  return { queue, began, gates, errors };
}

describe('TenantQueue', () => {
  it('has so many under way at once, the others in their order', async () => {
    const { queue, began, gates } = gated(2);
    for (const [i, tenant] of ['a', 'b', 'c', 'd'].entries()) queue.add(tenant, i);
    await turn();
    expect(began).toEqual(['a 0', 'b 1']);
    gates[1]!();
    await turn();
    expect(began).toEqual(['a 0', 'b 1', 'c 2']);
    gates[0]!();
    gates[2]!();
    await turn();
    gates[3]!();
    await queue.idle();
    expect(began).toEqual(['a 0', 'b 1', 'c 2', 'd 3']);
  });

  it('has each tenant once, waiting or under way, and again when it is over', async () => {
    const { queue, began, gates } = gated(1);
    for (const tenant of ['a', 'b', 'b', 'a']) queue.add(tenant, began.length);
    gates[0]!();
    await turn();
    gates[1]!();
    await queue.idle();
    expect(began).toEqual(['a 0', 'b 1']);
    queue.add('a', 9);
    gates[2]!();
    await queue.idle();
    expect(began).toEqual(['a 0', 'b 1', 'a 9']);
  });

  it('tells what failed, and goes on', async () => {
    const { queue, began, gates, errors } = gated(1);
    queue.add('a', 0);
    queue.add('b', 0);
    gates[0]!(new Error('away'));
    await turn();
    expect(errors).toEqual(['a: Error: away']);
    gates[1]!();
    await queue.idle();
    queue.add('a', 1);
    gates[2]!();
    await queue.idle();
    expect(began).toEqual(['a 0', 'b 0', 'a 1']);
  });

  // Between the end of the last one and the next turn there are several moments to come in.
  it.each([0, 1, 2, 3, 4, 5])(
    'takes up what comes %p microtasks after the last one ended',
    async (moments) => {
      const { queue, began, gates } = gated(1);
      queue.add('a', 0);
      gates[0]!();
      for (let left = moments; left > 0; left -= 1) await Promise.resolve();
      queue.add('b', 0);
      await turn();
      expect(began).toEqual(['a 0', 'b 0']);
      gates[1]!();
      await queue.idle();
    },
  );

  it('lets a thousand wait, and no more', async () => {
    const { queue, began, gates } = gated(1);
    for (let n = 0; n <= 1_001; n += 1) queue.add(`t${n}`, 0);
    for (let n = 0; n <= 1_000; n += 1) {
      gates[n]!();
      await turn();
    }
    await queue.idle();
    expect(began).toHaveLength(1_001);
    expect(began.at(-1)).toBe('t1000 0');
  });

  it('begins no other at its stop, and waits for those under way', async () => {
    const { queue, began, gates } = gated(1);
    queue.add('a', 0);
    queue.add('b', 0);
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    await turn();
    expect(stopped).toBe(false);
    gates[0]!();
    await stopping;
    queue.add('c', 0);
    await turn();
    expect(began).toEqual(['a 0']);
  });

  it('is idle where there was nothing to do', async () => {
    await expect(gated(1).queue.idle()).resolves.toBeUndefined();
  });
});
