import { isOfThisCommand } from './failures';

const reply = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' });

describe('isOfThisCommand', () => {
  it.each([
    'OOM command not allowed',
    'READONLY replica',
    'MISCONF disk',
    'MOVED 1 x',
    'WRONGTYPE x',
  ])('is true of %s: Redis has answered', (message) => {
    expect(isOfThisCommand(reply(message))).toBe(true);
  });

  it.each([
    'LOADING data',
    'BUSY script',
    'CLUSTERDOWN x',
    'MASTERDOWN x',
    'NOAUTH x',
    'WRONGPASS x',
  ])('is false of %s: nobody is served', (message) => {
    expect(isOfThisCommand(reply(message))).toBe(false);
  });

  it('is false of what is no reply', () => {
    expect(isOfThisCommand(new Error('Connection is closed.'))).toBe(false);
    expect(isOfThisCommand('text')).toBe(false);
  });
});
