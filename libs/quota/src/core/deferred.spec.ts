import { Deferred } from './deferred';
import { QuotaUnavailableError } from './errors';

const away = (): Promise<never> => Promise.reject(new QuotaUnavailableError('release'));

it('sends what waits, in its order, once', async () => {
  const sent: string[] = [];
  const deferred = new Deferred();
  for (const id of ['a', 'b', 'c']) deferred.add(id, async () => sent.push(id));
  expect(await deferred.send()).toEqual([]);
  await deferred.send();
  expect(sent).toEqual(['a', 'b', 'c']);
  expect(deferred.size).toBe(0);
});

it('one that finds its store away waits on, and is in nobody’s way', async () => {
  const sent: string[] = [];
  const deferred = new Deferred();
  deferred.add('away', away);
  deferred.add('b', async () => sent.push('b'));
  expect(await deferred.send()).toEqual([]);
  expect(sent).toEqual(['b']);
  expect(deferred.size).toBe(1);
});

it('one that never can succeed is given up, and told of', async () => {
  const deferred = new Deferred();
  const bug = new TypeError('no');
  deferred.add('bug', () => Promise.reject(bug));
  expect(await deferred.send()).toEqual([bug]);
  expect(deferred.size).toBe(0);
});

it('goes on in the next round after twenty failures, with those that were not tried', async () => {
  let calls = 0;
  const deferred = new Deferred();
  for (let n = 0; n < 30; n += 1) {
    deferred.add(`t${n}`, () => {
      calls += 1;
      return away();
    });
  }
  let sent = false;
  deferred.add('last', async () => {
    sent = true;
  });
  await deferred.send();
  expect([calls, sent]).toEqual([20, false]);
  await deferred.send();
  expect(sent).toBe(true);
  expect(deferred.size).toBe(30);
});

it('keeps the newest of each id, and no more than it may', async () => {
  const sent: number[] = [];
  const deferred = new Deferred(2);
  for (const n of [1, 2, 3, 4]) deferred.add(n < 3 ? 'same' : `t${n}`, async () => sent.push(n));
  await deferred.send();
  expect(sent).toEqual([3, 4]);
});
