import { EventEmitter } from 'node:events';
import { classify } from '../../../libs/quota/src/adapters/redis/failures';
import { RedisCalls, type RedisClient } from '../../../libs/quota/src/adapters/redis/redis-calls';
import { Reply } from '../../../libs/quota/src/adapters/redis/replies';
import { RedisKeys } from '../../../libs/quota/src/adapters/redis';

function replyError(message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' });
}

/** A client that does nothing but be connected; what is sent is the test's own. */
class StubClient extends EventEmitter {
  status = 'ready';
  disconnects: boolean[] = [];

  disconnect(reconnect: boolean): void {
    this.disconnects.push(reconnect);
  }
}

const callsOn = (client: StubClient, deadlineMs: number): RedisCalls =>
  new RedisCalls(client as unknown as RedisClient, deadlineMs);

describe('an error of Redis', () => {
  it.each([
    ...['LOADING Redis is loading', 'BUSY Redis is busy', 'OOM command not allowed', 'READONLY x'],
    ...['MISCONF x', 'NOREPLICAS x', 'CLUSTERDOWN x', 'MASTERDOWN x', 'NOAUTH x', 'NOPERM x'],
  ])('%s is known not to have been applied, and not sent again', async (message) => {
    expect(classify(replyError(message))).toBe('refused');
    let sent = 0;
    const send = (): Promise<never> => {
      sent += 1;
      return Promise.reject(replyError(message));
    };
    const work = callsOn(new StubClient(), 500).guard('x', send);
    await expect(work).rejects.toMatchObject({ applied: 'no', cause: { message } });
    expect(sent).toBe(1);
  });

  it.each(['MOVED 1 h:1', 'ASK 1 h:1', 'TRYAGAIN Multiple keys'])(
    '%s is sent again until it works',
    async (message) => {
      let sent = 0;
      const send = (): Promise<string> =>
        ++sent < 4 ? Promise.reject(replyError(message)) : Promise.resolve('done');
      expect(await callsOn(new StubClient(), 2_000).guard('x', send)).toBe('done');
    },
  );

  it('MOVED for ever ends at the deadline, as not applied', async () => {
    const send = (): Promise<never> => Promise.reject(replyError('MOVED 1 h:1'));
    const work = callsOn(new StubClient(), 60).guard('x', send);
    await expect(work).rejects.toMatchObject({ applied: 'no' });
  });

  it('unknown is sent once more, and not twice', async () => {
    let sent = 0;
    const send = (): Promise<never> => {
      sent += 1;
      return Promise.reject(new Error('Connection is closed.'));
    };
    const work = callsOn(new StubClient(), 500).guard('x', send);
    await expect(work).rejects.toMatchObject({ applied: 'unknown' });
    expect(sent).toBe(2);
  });

  it('unknown stays unknown when the second sending is refused', async () => {
    const errors = [new Error('Connection is closed.'), replyError('LOADING x')];
    const send = (): Promise<never> => Promise.reject(errors.shift()!);
    const work = callsOn(new StubClient(), 500).guard('x', send);
    await expect(work).rejects.toMatchObject({ applied: 'unknown' });
  });

  it('of a script is not sent again', async () => {
    let sent = 0;
    const send = (): Promise<never> => {
      sent += 1;
      return Promise.reject(replyError('WRONGTYPE x'));
    };
    await expect(callsOn(new StubClient(), 500).guard('x', send)).rejects.toMatchObject({
      applied: 'unknown',
    });
    expect(sent).toBe(1);
  });
});

describe('a connection', () => {
  it('that is away is waited for only when a command may be lost on it', async () => {
    const client = new StubClient();
    let sent = 0;
    const send = (): Promise<string> => {
      sent += 1;
      if (sent > 1) return Promise.resolve('done');
      client.status = 'reconnecting';
      setTimeout(() => (client.status = 'ready'), 50);
      return Promise.reject(new Error('Connection is closed.'));
    };
    expect(await callsOn(client, 2_000).guard('x', send)).toBe('done');
    const unsent = new Error("Stream isn't writeable and enableOfflineQueue options is false");
    const work = callsOn(client, 2_000).guard('x', () => Promise.reject(unsent));
    await expect(work).rejects.toMatchObject({ applied: 'no' });
  });

  it('on which nothing is answered for long is dropped for a new one', async () => {
    jest.useFakeTimers();
    try {
      const client = new StubClient();
      const calls = callsOn(client, 400);
      const ask = async (): Promise<void> => {
        const work = calls.guard('x', () => new Promise(() => undefined)).catch(() => undefined);
        await jest.advanceTimersByTimeAsync(405);
        await work;
      };
      // 13 times 405 ms, of which the last is over after 100.
      for (let i = 0; i < 13; i++) await ask();
      expect(client.disconnects).toEqual([]);
      await ask();
      expect(client.disconnects).toEqual([true]);
      await calls.guard('x', () => Promise.resolve(1));
      for (let i = 0; i < 12; i++) await ask();
      expect(client.disconnects).toHaveLength(1);
    } finally {
      jest.useRealTimers();
    }
  });

  it('that is silent is waited for once, however many calls meet it, of whatever part', async () => {
    const client = new StubClient();
    const never = (): Promise<never> => new Promise(() => undefined);
    const began = performance.now();
    const ended = (work: Promise<unknown>): Promise<number> =>
      work.catch(() => undefined).then(() => performance.now() - began);
    const first = ended(callsOn(client, 400).guard('x', never));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const second = ended(callsOn(client, 400).guard('y', never));
    expect(Math.abs((await first) - (await second))).toBeLessThan(100);
    // Not so short that an answer could not come.
    const third = performance.now();
    const answer = (): Promise<string> =>
      new Promise((resolve) => setTimeout(() => resolve('there'), 50));
    expect(await callsOn(client, 400).guard('z', answer)).toBe('there');
    expect(performance.now() - third).toBeLessThan(400);
    // It has ended with that.
    const fourth = performance.now();
    await callsOn(client, 400)
      .guard('x', never)
      .catch(() => undefined);
    expect(performance.now() - fourth).toBeGreaterThanOrEqual(390);
  });

  it('of one node of a Cluster is not all that there is', async () => {
    const node = new StubClient();
    const cluster = new StubClient();
    node.status = 'end';
    const [one, all] = [node, cluster].map((client) => client as unknown as RedisClient);
    const send = (): Promise<never> => Promise.reject(new Error('Connection is closed.'));
    const work = new RedisCalls(one!, 500, all).guard('tenants', send);
    await expect(work).rejects.toMatchObject({ contact: 'silent' });
    cluster.status = 'close';
    const again = new RedisCalls(one!, 500, all).guard('tenants', send);
    await expect(again).rejects.toMatchObject({ contact: 'lost' });
  });

  it('leaves no timer behind', async () => {
    jest.useFakeTimers();
    try {
      const calls = callsOn(new StubClient(), 400);
      await calls.guard('x', () => Promise.resolve(1));
      await calls.guard('x', () => Promise.reject(replyError('OOM x'))).catch(() => undefined);
      // The one that all calls share finds nobody waiting, and ends.
      await jest.advanceTimersByTimeAsync(10);
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('options', () => {
  it.each([0, -1, 1.5, Number.NaN, Infinity])('refuse a deadline of %s', (deadlineMs) => {
    expect(() => callsOn(new StubClient(), deadlineMs)).toThrow('deadlineMs');
  });

  it.each(['', 'a b', 'a{b}', 'a\n', 'é', 'x'.repeat(65)])('refuse the prefix %j', (prefix) => {
    expect(() => new RedisKeys(prefix)).toThrow('prefix');
  });
});

describe('a reply', () => {
  const bad = { name: 'QuotaUnavailableError', applied: 'unknown' };

  it.each([[null], ['OK'], [[]], [['1']], [[99]], [[1.5]], [{}]])(
    'that is not one of ours is trouble: %j',
    (raw) => {
      expect(() => new Reply('reserve', raw)).toThrow(expect.objectContaining(bad) as Error);
    },
  );

  it.each(['-1', '1e3', '', ' 1', '9007199254740992', 'nan', null, 5, '1.5'])(
    'with %j for a number is trouble',
    (item) => {
      expect(() => new Reply('reserve', [1, item]).whole()).toThrow(
        expect.objectContaining(bad) as Error,
      );
    },
  );

  it('with an unknown flag, decision, or less than expected is trouble', () => {
    const reply = (...items: unknown[]): Reply => new Reply('reserve', [1, ...items]);
    expect(() => reply('2').flag()).toThrow(expect.objectContaining(bad) as Error);
    expect(() => reply('3').decision()).toThrow(expect.objectContaining(bad) as Error);
    expect(() => reply('x').bytes()).toThrow(expect.objectContaining(bad) as Error);
    expect(() => reply('-0.5').signed()).toThrow(expect.objectContaining(bad) as Error);
    expect(() => reply().usage()).toThrow(expect.objectContaining(bad) as Error);
    expect(() => reply().optional()).toThrow(expect.objectContaining(bad) as Error);
    expect(reply().unexpected()).toMatchObject(bad);
    expect(reply('-5').signed()).toBe(-5);
  });
});
