import { isNativeError } from 'node:util/types';
/** What became of a command whose reply was an error, and what to do about it. */
export type Failure =
  /** Redis did nothing, and will not for now. */
  | 'refused'
  /** Redis did nothing; the slot is on its way to another node. */
  | 'moving'
  /** The command never left this process. */
  | 'unsent'
  /** It may have been carried out, or may still be. */
  | 'unknown'
  /** The script itself failed: a defect or damaged data; sending again will not help. */
  | 'broken'
  /** The script was given an argument it does not take. */
  | 'argument';

/** Error codes with which Redis says that nothing was done. */
const REFUSED = new Set([
  'LOADING',
  'BUSY',
  'OOM',
  'READONLY',
  'MISCONF',
  'NOREPLICAS',
  'CLUSTERDOWN',
  'MASTERDOWN',
  'NOAUTH',
  'WRONGPASS',
  'NOPERM',
  'DENIED',
  'NOSCRIPT',
]);
const MOVING = new Set(['MOVED', 'ASK', 'TRYAGAIN']);

/** Codes of a server that can serve nobody for now, whatever it is asked. */
const SERVES_NOBODY = new Set([
  'LOADING',
  'BUSY',
  'CLUSTERDOWN',
  'MASTERDOWN',
  'NOAUTH',
  'WRONGPASS',
]);

/**
 * True when Redis has answered, and the error is of this one command: its tenant's data, its slot, or
 * writes alone (OOM, READONLY, MISCONF), beside which releases and reads may go on.
 */
export function isOfThisCommand(error: unknown): boolean {
  if (!isNativeError(error) || error.name !== 'ReplyError') return false;
  return !SERVES_NOBODY.has(codeOf(error));
}

/** Sorts an error of ioredis by what it says of the command's effect. */
export function classify(error: unknown): Failure {
  if (!isNativeError(error)) return 'unknown';
  if (error.name !== 'ReplyError') {
    return error.message.startsWith("Stream isn't writeable") ? 'unsent' : 'unknown';
  }
  const code = codeOf(error);
  if (REFUSED.has(code)) return 'refused';
  if (MOVING.has(code)) return 'moving';
  return code === 'QUOTAARG' ? 'argument' : 'broken';
}

function codeOf(error: Error): string {
  return error.message.split(' ', 1)[0] ?? '';
}

export function isNoScript(error: unknown): boolean {
  return isNativeError(error) && error.message.startsWith('NOSCRIPT');
}
