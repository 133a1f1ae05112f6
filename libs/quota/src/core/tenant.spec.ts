import fc from 'fast-check';
import { InvalidTenantError } from './errors';
import { parseTenantId } from './tenant';

describe('parseTenantId', () => {
  it.each([
    'a',
    'A',
    '0',
    'tenant-1',
    'a.b_c-d',
    'constructor',
    '3f2504e0-4f89-11d3-9a0c-0305e82c3301',
    'x'.repeat(128),
  ])('takes %p as it is', (id) => {
    expect(parseTenantId(id)).toBe(id);
  });

  it.each([undefined, null, ''])('says of %p that there is none', (value) => {
    expect(errorOf(value)).toMatchObject({ code: 'invalid_tenant', missing: true });
  });

  it.each([
    'x'.repeat(129),
    ' a',
    'a ',
    'a b',
    'a\n',
    '\na',
    'a\r\nX-Evil: 1',
    'a\u0000',
    '.a',
    '-a',
    '_a',
    '__proto__',
    '{}',
    'x}y',
    'a/b',
    'a:b',
    'a,b',
    'é',
    '٥',
    'a\u200b',
    '*',
    5,
    true,
    {},
    [],
    ['a'],
  ])('says of %p that it is malformed', (value) => {
    expect(errorOf(value)).toMatchObject({ code: 'invalid_tenant', missing: false });
  });

  it('never repeats the value in its message', () => {
    const hostile = `<script>${'x'.repeat(50)}`;
    expect(errorOf(hostile).message).not.toContain('script');
    expect(errorOf(hostile).message).toContain('1 to 128 characters');
  });

  it('takes exactly the ids of the documented form', () => {
    const char = fc.constantFrom(...Array.from('abzABZ059._- \n{}é:'));
    fc.assert(
      fc.property(fc.string({ unit: char, maxLength: 140 }), (id) => {
        const good =
          id.length >= 1 &&
          id.length <= 128 &&
          Array.from(id).every((c) => 'abzABZ059._-'.includes(c)) &&
          !'._-'.includes(id[0]!);
        if (good) expect(parseTenantId(id)).toBe(id);
        else expect(() => parseTenantId(id)).toThrow(InvalidTenantError);
      }),
    );
  });
});

function errorOf(value: unknown): InvalidTenantError {
  try {
    parseTenantId(value);
  } catch (error) {
    if (error instanceof InvalidTenantError) return error;
    throw error;
  }
  throw new Error('It was taken.');
}
