/** What must not happen, summed up, with the first few cases of each kind told in full. */
export class Findings {
  /** The most that a tenant held beyond its hard limit. */
  overAdmittedBytes = 0;
  lostBytes = 0;
  falseRefusals = 0;
  refusedReleases = 0;
  driftBytes = 0;
  readonly told: string[] = [];
  private readonly kinds = new Map<string, number>();
  private readonly lost = new Set<number>();

  /** @param tell is called with every case that is told in full */
  constructor(private readonly tell: (line: string) => void = () => undefined) {}

  /** @returns whether it is the most so far */
  overAdmission(tenant: string, live: number, hard: number, when: string): boolean {
    const excess = live - hard;
    if (excess <= this.overAdmittedBytes) return false;
    this.overAdmittedBytes = excess;
    this.add('over-admission', `${tenant} holds ${live} bytes of ${hard} (${when})`);
    return true;
  }

  /** What helps to understand a finding; it is none. */
  note(line: string): void {
    this.told.push(line);
    this.tell(line);
  }

  /** An acknowledged value that is not there, or not as it was stored; each counts once. */
  loss(id: number, bytes: number, what: string): void {
    if (this.lost.has(id)) return;
    this.lost.add(id);
    this.lostBytes += bytes;
    this.add('lost value', what);
  }

  falseRefusal(what: string): void {
    this.falseRefusals += 1;
    this.add('false refusal', what);
  }

  refusedRelease(what: string): void {
    this.refusedReleases += 1;
    this.add('refused release', what);
  }

  drift(bytes: number, what: string): void {
    this.driftBytes += Math.abs(bytes);
    this.add('drift', what);
  }

  /** Anything else: a wrong status, a defect in a log, an answer that never came or came too late. */
  add(kind: string, what: string): void {
    const count = (this.kinds.get(kind) ?? 0) + 1;
    this.kinds.set(kind, count);
    if (count > 12) return;
    const line = `${kind}: ${what}`;
    this.told.push(line);
    this.tell(line);
  }

  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.kinds);
  }

  get failed(): boolean {
    return this.kinds.size > 0;
  }
}
