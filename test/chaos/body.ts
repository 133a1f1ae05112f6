const MARK = 64;

/** The bytes of write `id`: the same each time, and others than those of any other write. */
export function bodyOf(id: number, size: number): Buffer {
  return Buffer.alloc(size, `${String(id)}:`.padEnd(MARK, `${String(id * 31)}.`));
}
