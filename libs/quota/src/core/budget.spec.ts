import { Budget, inTime } from './budget';
import { QuotaUnavailableError } from './errors';

const after = <T>(ms: number, value: T): Promise<T> =>
  new Promise((resolve) => setTimeout(resolve, ms, value));

const never = (): Promise<never> => new Promise(() => undefined);

function stall(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'no error',
    (error: unknown) => error,
  );
}

describe('Budget', () => {
  it('is one for all steps, however many there are', async () => {
    const budget = new Budget(200);
    const started = performance.now();
    await budget.step('one', () => after(80, 1));
    await budget.step('two', () => after(80, 2));
    const error = await failure(budget.step('three', never));
    expect(error).toMatchObject({ operation: 'three', applied: 'unknown', contact: 'silent' });
    expect(performance.now() - started).toBeGreaterThanOrEqual(190);
    expect(performance.now() - started).toBeLessThan(300);
  });

  it('does not count what happens between the steps', async () => {
    const budget = new Budget(100);
    await budget.step('one', () => Promise.resolve());
    await after(200, null);
    await expect(budget.step('two', () => after(20, 'in time'))).resolves.toBe('in time');
  });

  it('begins nothing once the time is over, but what must be begun it looks at', async () => {
    const budget = new Budget(20);
    await failure(budget.step('one', never));
    const work = jest.fn(never);
    expect(await failure(budget.step('two', work))).toMatchObject({ applied: 'no' });
    expect(work).not.toHaveBeenCalled();
    await expect(budget.wait('three', Promise.resolve('there'))).resolves.toBe('there');
    expect(await failure(budget.wait('four', never()))).toBeInstanceOf(QuotaUnavailableError);
  });

  it('leaves a step alone that it gives up, and tells of its late result', async () => {
    const budget = new Budget(20);
    const late: string[] = [];
    const work = after(80, 'late');
    const step = budget.step('one', () => work, { onLate: (result) => late.push(result) });
    expect(await failure(step)).toBeInstanceOf(QuotaUnavailableError);
    expect(late).toEqual([]);
    await work;
    expect(late).toEqual(['late']);
  });

  it('does not tell of a result that is in time', async () => {
    const onLate = jest.fn();
    await new Budget(50).step('one', () => Promise.resolve(1), { onLate });
    expect(onLate).not.toHaveBeenCalled();
  });

  it('takes a failure that nobody waits for any more', async () => {
    const work = after(40, null).then(() => Promise.reject(new Error('own')));
    expect(await failure(new Budget(10).step('one', () => work))).toMatchObject({
      name: 'QuotaUnavailableError',
    });
    await expect(work).rejects.toThrow('own');
  });

  it('does not count a stall of this process, and sees the answer that came meanwhile', async () => {
    const budget = new Budget(200);
    const answer = budget.step('one', () => after(410, 'late'));
    stall(400);
    await expect(answer).resolves.toBe('late');
  });

  it('counts the small delays of a busy process', async () => {
    const started = performance.now();
    const step = failure(new Budget(300).step('one', never));
    const state = { over: false };
    void step.then(() => (state.over = true));
    let others = 0;
    while (!state.over) {
      const began = performance.now();
      stall(40);
      await new Promise(setImmediate);
      // What other processes of a busy machine took of it.
      others += performance.now() - began - 40;
    }
    // By ticks of 50 ms that count as that, however late they are, it would be 480.
    expect(performance.now() - started - others).toBeLessThan(420);
  });
});

describe('inTime', () => {
  it('gives up on a read, which has changed nothing', async () => {
    expect(await failure(inTime('config', 30, never()))).toMatchObject({ applied: 'no' });
  });

  it('gives the work’s own error on', async () => {
    await expect(inTime('config', 200, Promise.reject(new Error('own')))).rejects.toThrow('own');
  });
});
