import { InvalidArgumentError } from 'commander';
import { MAX_QUOTA_MB } from '../core/quota-store';

/** Parsers of what is typed; commander says which option it was. @throws InvalidArgumentError */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Allowed is a whole number, ${min} to ${max}.`);
  };
}

export const quotaMb = whole(1, MAX_QUOTA_MB);
export const overageMb = whole(0, MAX_QUOTA_MB);

export function percent(text: string): number {
  const value = /^\d{1,3}(\.\d{1,2})?$/.test(text) ? Number(text) : NaN;
  if (value >= 0 && value <= 100) return value;
  throw new InvalidArgumentError('Allowed is a number, 0 to 100, with at most two decimals.');
}

/** A new list, never the empty one: that would be another command. */
export function names(text: string): string[] {
  const list = text.split(',').map((name) => name.trim());
  if (list.every((name) => name !== '')) return list;
  throw new InvalidArgumentError('Allowed are tenant ids separated by commas.');
}
