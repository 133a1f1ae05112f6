import { describeCause, errorEvent } from './error-event';
import { QuotaUnavailableError } from './errors';

describe('describeCause', () => {
  it('tells of the causes, from the first on', () => {
    const root = new Error('connect ECONNREFUSED 127.0.0.1:6379');
    const middle = new Error('redis is away', {
      cause: new QuotaUnavailableError('x', { cause: root }),
    });
    const error = new QuotaUnavailableError('reserve', { cause: middle });
    expect(describeCause(error)).toBe('redis is away: connect ECONNREFUSED 127.0.0.1:6379');
    expect(describeCause(new Error('no cause'))).toBe('no cause');
  });

  it('finds something to say of several refused addresses', () => {
    const error = new AggregateError([new Error('connect ECONNREFUSED ::1:5432')], '');
    expect(describeCause(error)).toBe('connect ECONNREFUSED ::1:5432');
    expect(describeCause(new AggregateError([], ''))).toBe('AggregateError');
  });

  it('is silent where there is nothing to say', () => {
    expect(describeCause(new QuotaUnavailableError('reserve'))).toBeUndefined();
    expect(describeCause('text')).toBeUndefined();
  });

  it.each([
    ['redis://user:hunter2@host:6379 is away', 'redis://***@host:6379 is away'],
    ['redis://:hunter2@host is away', 'redis://***@host is away'],
    ['wrong password=hunter2 given', 'wrong password=*** given'],
    ['two\r\nlines\u0000', 'two lines '],
  ])('leaves secrets and line breaks out of %j', (message, line) => {
    expect(describeCause(new Error(message))).toBe(line);
  });

  it('ends, whatever the chain', () => {
    const error = new Error('x'.repeat(1_000));
    error.cause = error;
    expect(describeCause(error)).toHaveLength(300);
  });
});

it('errorEvent names the error, and a thing thrown that is none', () => {
  const error = new QuotaUnavailableError('reserve', { cause: new Error('gone') });
  const event = {
    operation: 'settle',
    error: 'QuotaUnavailableError',
    tenant: 'acme',
    cause: 'gone',
  };
  expect(errorEvent('settle', error, 'acme')).toEqual(event);
  expect(errorEvent('settle', 7)).toEqual({ operation: 'settle', error: 'Error' });
});
