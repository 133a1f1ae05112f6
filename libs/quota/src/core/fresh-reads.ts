/** A reading on its way, and the one that those who asked since are waiting for. */
interface Reading<T> {
  readonly result: Promise<T>;
  next?: Promise<T>;
}

/**
 * Readings that are newer than the question. One at a time of each name: all who ask while one is on
 * its way share the next, so that any number of callers costs no more than one reading after another.
 */
export class FreshReads<T> {
  private readonly underWay = new Map<string, Reading<T>>();

  constructor(private readonly load: (name: string) => Promise<T>) {}

  read(name: string): Promise<T> {
    const present = this.underWay.get(name);
    if (present === undefined) return this.begin(name);
    const begin = (): Promise<T> => this.begin(name);
    return (present.next ??= present.result.then(begin, begin));
  }

  private begin(name: string): Promise<T> {
    const reading: Reading<T> = { result: this.load(name) };
    this.underWay.set(name, reading);
    const end = (): void => {
      if (this.underWay.get(name) === reading) this.underWay.delete(name);
    };
    reading.result.then(end, end);
    return reading.result;
  }
}
