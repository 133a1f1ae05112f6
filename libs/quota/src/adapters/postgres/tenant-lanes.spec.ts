import { setTimeout as pause } from 'node:timers/promises';
import { TenantLanes, type LaneOptions, type Together } from './tenant-lanes';

type Options = LaneOptions<string, string>;
type Answer = Together<string> | Error;

/** Works that end when they are told to, in the order in which they began. */
function gated(options: Partial<Options> = {}) {
  const began: string[] = [];
  const gates: ((answer?: Answer) => void)[] = [];
  const lanes = new TenantLanes<string, string>({
    ...{ width: 1, spare: 0, most: 3, waitMs: 5_000 },
    work: (calls) => {
      began.push(calls.join());
      return new Promise((resolve, reject) => {
        gates.push((answer = calls.map((call) => `${call}!`)) => {
          if (answer instanceof Error) reject(answer);
          else resolve(answer);
        });
      });
    },
    ...options,
  });
  const ask = (...calls: string[]) =>
    calls.map((call) => {
      const reply = lanes.run('t', call);
      reply.catch(() => undefined);
      return reply;
    });
  return { lanes, ask, began, gates };
}

const settled = (promises: Promise<string>[]): Promise<string[]> =>
  Promise.all(
    promises.map((promise) => promise.catch((error: unknown) => (error as Error).message)),
  );

describe('TenantLanes', () => {
  it('lets a call go at once, and joins those that had to wait for it, in their order', async () => {
    const { ask, began, gates } = gated();
    const replies = ask('a', 'b', 'c', 'd', 'e');
    expect(began).toEqual(['a']);
    gates[0]!();
    expect(await replies[0]).toBe('a!');
    expect(began).toEqual(['a', 'b,c,d']);
    gates[1]!();
    expect(await settled(replies.slice(1, 4))).toEqual(['b!', 'c!', 'd!']);
    expect(began).toEqual(['a', 'b,c,d', 'e']);
    gates[2]!();
    expect(await replies[4]).toBe('e!');
    void settled(ask('f'));
    expect(began.at(-1)).toBe('f');
  });

  it('runs so many works of a tenant at a time, and those of others beside them', async () => {
    const { lanes, ask, began, gates } = gated({ width: 2, most: 1 });
    const replies = ask('a', 'b', 'c', 'd');
    const other = lanes.run('u', 'o');
    expect(began).toEqual(['a', 'b', 'o']);
    for (let i = 0; i < 5; i++) {
      gates[i]!();
      await pause(0);
    }
    expect(await settled([...replies, other])).toEqual(['a!', 'b!', 'c!', 'd!', 'o!']);
    expect(began).toEqual(['a', 'b', 'o', 'c', 'd']);
  });

  it('asks each alone when they cannot go together, before those that came later', async () => {
    const { ask, began, gates } = gated();
    const replies = ask('a', 'b', 'c');
    gates[0]!();
    await replies[0];
    replies.push(...ask('d', 'e'));
    gates[1]!('apart');
    await pause(0);
    gates[2]!(new Error('no b'));
    await pause(0);
    gates[3]!();
    await pause(0);
    gates[4]!();
    expect(await settled(replies)).toEqual(['a!', 'no b', 'c!', 'd!', 'e!']);
    expect(began).toEqual(['a', 'b,c', 'b', 'c', 'd,e']);
  });

  it('fails together what was in one work, and nothing else', async () => {
    const { ask, gates } = gated();
    const replies = ask('a', 'b', 'c', 'd', 'e');
    gates[0]!();
    await replies[0];
    gates[1]!(new Error('away'));
    await pause(0);
    gates[2]!();
    expect(await settled(replies)).toEqual(['a!', 'away', 'away', 'away', 'e!']);
  });

  it('lets others go on beside a slow work, and not beside more than that', async () => {
    const { ask, began, gates } = gated({ spare: 1 });
    const replies = ask('a', 'b');
    await pause(50);
    expect(began).toEqual(['a']);
    await pause(80);
    expect(began).toEqual(['a', 'b']);
    replies.push(...ask('c'));
    await pause(150);
    expect(began).toEqual(['a', 'b']);
    gates[0]!();
    await replies[0];
    expect(began).toEqual(['a', 'b', 'c']);
    gates[1]!();
    gates[2]!();
    expect(await settled(replies)).toEqual(['a!', 'b!', 'c!']);
    // What was slow is not so for ever.
    void settled(ask('d', 'e'));
    expect(began.slice(3)).toEqual(['d']);
  });

  it('gives up on a call whose turn does not come in time, and never begins it', async () => {
    const { ask, began, gates } = gated({ waitMs: 60, most: 1 });
    const [first, late] = ask('a', 'b');
    await expect(late).rejects.toThrow('take too long');
    const [next] = ask('c');
    gates[0]!();
    await first;
    gates[1]!();
    expect(await next).toBe('c!');
    expect(began).toEqual(['a', 'c']);
  });
});
