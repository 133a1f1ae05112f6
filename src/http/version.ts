import { invalidInput } from './problem';

/**
 * The version a change was made from, by If-Match or by the body; undefined where neither says.
 *
 * @throws ProblemException (400) where they are not usable, or differ
 */
export function versionOf(
  ifMatch: string | undefined,
  version: number | undefined,
): number | undefined {
  if (ifMatch === undefined) return version;
  const [, digits] = /^"?(\d{1,9})"?$/.exec(ifMatch) ?? [];
  if (digits === undefined) throw invalidInput('If-Match', 'the ETag as it was read, as "3"');
  if (version !== undefined && version !== Number(digits)) {
    throw invalidInput('If-Match', 'the same version as in the body');
  }
  return Number(digits);
}
