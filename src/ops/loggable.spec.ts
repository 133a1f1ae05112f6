import { loggable } from './loggable';

it.each([
  ['plain text', 'acme-1._x', 'acme-1._x'],
  ['line breaks', 'a\r\nb', 'a\\u{d}\\u{a}b'],
  ['what a terminal obeys', '\x1b[2J\x7f\x9b', '\\u{1b}[2J\\u{7f}\\u{9b}'],
  ['separators and directions of Unicode', 'x\u2028y\u202e', 'x\\u{2028}y\\u{202e}'],
  ['the longest text', 'a'.repeat(255), 'a'.repeat(255)],
  ['a longer one', 'a'.repeat(100_000), `${'a'.repeat(256)}...`],
])('%s', (_name, text, expected) => {
  expect(loggable(text)).toBe(expected);
});

it('is bounded whatever has to be escaped', () => {
  expect(loggable('\u2028'.repeat(256)).length).toBe(259);
});
