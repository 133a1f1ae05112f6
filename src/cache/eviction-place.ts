/** Where an eviction goes on in its next call. */
export interface EvictionPlace {
  /** Of its row in the trail. */
  readonly id: number;
  /** Bytes that it may still free: what was used when it began, and not freed since. */
  readonly allowanceBytes: number;
  /** The storage's own word for it. */
  readonly at: string;
}

const FORM = /^(\d{1,15})\.(\d{1,16})\.(.{0,540})$/s;

/** As a client sends it back. */
export function formatPlace({ id, allowanceBytes, at }: EvictionPlace): string {
  return Buffer.from(`${id}.${allowanceBytes}.${at}`).toString('base64url');
}

/** As {@link formatPlace} wrote it; null: it did not. */
export function parsePlace(text: string): EvictionPlace | null {
  const [, id, allowance, at] = FORM.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (at === undefined) return null;
  return { id: Number(id), allowanceBytes: Number(allowance), at };
}
