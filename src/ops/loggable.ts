const MOST_CHARACTERS = 256;

/** Only what a terminal and a log reader take for plain text: ASCII from blank to tilde. */
const OTHERS = /[^\x20-\x7e]/g;

/**
 * Text of somebody else's, fit for one line of a log: whatever is not printable ASCII is written as
 * `\u{…}`, and it is cut at 256 characters. JSON escapes line breaks too, but not what a terminal or a
 * reader of lines may take for one.
 */
export function loggable(text: string): string {
  const plain = text
    .slice(0, MOST_CHARACTERS)
    .replace(OTHERS, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`)
    .slice(0, MOST_CHARACTERS);
  return plain.length < MOST_CHARACTERS && text.length <= MOST_CHARACTERS ? plain : `${plain}...`;
}
