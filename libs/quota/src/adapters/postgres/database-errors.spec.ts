import { postgresContact, unavailable } from './database-errors';

const coded = (code: string, message = ''): Error => Object.assign(new Error(message), { code });

describe('postgresContact', () => {
  it.each(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTFOUND', '08006', '57P01', '57P03', '53300'])(
    'takes %s for a lost connection',
    (code) => {
      expect(postgresContact(coded(code))).toBe('lost');
    },
  );

  it.each(['23514', '40001', '42P01', '55P03', '57014', 'XX001'])(
    'takes %s for an answer',
    (code) => {
      expect(postgresContact(coded(code))).toBe('answered');
    },
  );

  it.each([
    ['Connection terminated unexpectedly', 'lost'],
    ['Client has encountered a connection error and is not queryable', 'lost'],
    ['Connection terminated due to connection timeout', 'silent'],
    ['timeout exceeded when trying to connect', 'silent'],
    ['Query read timeout', 'silent'],
    ['The row of tenant "acme" breaks the table’s rules', 'answered'],
  ])('reads %j as %s', (message, contact) => {
    expect(postgresContact(new Error(message))).toBe(contact);
  });

  it('takes what is no error, and a socket’s own timeout, for silence', () => {
    expect(postgresContact('text')).toBe('silent');
    expect(postgresContact(coded('ETIMEDOUT'))).toBe('silent');
  });

  it('goes into the error', () => {
    expect(unavailable('config', coded('57P01'))).toMatchObject({ contact: 'lost', applied: 'no' });
  });
});
