import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Piece, Protocol } from './wire';

export const MODES = ['cut', 'reply lost', 'hang', 'late', 'error'] as const;

/**
 * cut: the command is not forwarded and its connection ends. reply lost: forwarded, and the connection
 * ends before the reply. hang: forwarded, the reply held back until `release()`. late: the command
 * itself held back until then. error: not forwarded, answered as a server in trouble would.
 */
export type Mode = (typeof MODES)[number];

export interface Fault {
  /** From 1, of the commands that come from `watch()` on. */
  readonly n: number;
  readonly mode: Mode;
  /** Which of the protocol's errors. */
  readonly error?: number;
}

/** A command that a reply is owed to. */
interface Slot {
  reply?: Buffer;
  lost?: boolean;
  withheld?: boolean;
}

/** A proxy that knows where commands begin and end, counts them, and lets the n-th fail. */
export class FaultLink {
  private readonly lines = new Set<Line>();
  private readonly server = createServer((near) => {
    if (this.away) near.destroy();
    else this.lines.add(new Line(near, this.target, this.protocol, this));
  });
  private away = false;
  private fault: Fault | undefined;
  private count = 0;

  private constructor(
    private readonly target: number,
    private readonly protocol: Protocol,
  ) {}

  static async start(target: number, protocol: Protocol): Promise<FaultLink> {
    const link = new FaultLink(target, protocol);
    await new Promise<void>((resolve) => link.server.listen(0, '127.0.0.1', resolve));
    return link;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Commands since {@link watch}. */
  get commands(): number {
    return this.count;
  }

  /** Counts from here on; the n-th fails, if one is to. */
  watch(fault?: Fault): void {
    [this.count, this.fault] = [0, fault];
  }

  /** What to do with a command that has just come. */
  judge(): Fault | undefined {
    this.count += 1;
    return this.fault?.n === this.count ? this.fault : undefined;
  }

  /** Lets go of what hangs. */
  release(): void {
    for (const line of this.lines) line.release();
  }

  forget(line: Line): void {
    this.lines.delete(line);
  }

  down(): void {
    this.away = true;
    for (const line of this.lines) line.end();
  }

  up(): void {
    this.away = false;
  }

  async close(): Promise<void> {
    this.down();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** One connection through the link. */
class Line {
  private readonly far: Socket;
  private readonly slots: Slot[] = [];
  /** Commands behind one that is late. */
  private late: Buffer[] | undefined;

  constructor(
    private readonly near: Socket,
    target: number,
    private readonly protocol: Protocol,
    private readonly link: FaultLink,
  ) {
    this.far = connect(target, '127.0.0.1');
    const [requests, replies] = [protocol.requests(), protocol.replies()];
    near.on('data', (chunk) => requests(chunk).forEach((piece) => this.asked(piece)));
    this.far.on('data', (chunk) => replies(chunk).forEach((piece) => this.answered(piece)));
    // What is on its way to the server arrives there, though its sender has gone.
    near.on('error', () => near.destroy()).on('close', () => this.late ?? this.end());
    this.far.on('error', () => this.end()).on('close', () => this.end());
  }

  end(): void {
    this.near.destroy();
    this.far.destroy();
    this.link.forget(this);
  }

  release(): void {
    const late = this.late ?? [];
    this.late = undefined;
    for (const bytes of late) this.far.write(bytes);
    for (const slot of this.slots) slot.withheld = false;
    this.flush();
    if (this.near.destroyed) this.far.end();
  }

  private asked({ bytes, answered }: Piece): void {
    if (this.near.destroyed) return;
    if (!answered) {
      this.forward(bytes);
      return;
    }
    const slot: Slot = {};
    this.slots.push(slot);
    const fault = this.protocol.isCommand(bytes) ? this.link.judge() : undefined;
    if (fault === undefined) {
      this.forward(bytes);
      return;
    }
    switch (fault.mode) {
      case 'cut': {
        this.end();
        return;
      }
      case 'error': {
        this.refuse(slot, fault.error ?? 0);
        return;
      }
      case 'late':
        this.late ??= [];
        {
          this.forward(bytes);
          return;
        }
      case 'hang':
        slot.withheld = true;
        {
          this.forward(bytes);
          return;
        }
      case 'reply lost':
        slot.lost = true;
        {
          this.forward(bytes);
          return;
        }
    }
  }

  private forward(bytes: Buffer): void {
    if (this.late === undefined) this.far.write(bytes);
    else this.late.push(bytes);
  }

  private refuse(slot: Slot, which: number): void {
    const { errors } = this.protocol;
    const { bytes, closes } = errors[which % errors.length]!;
    slot.reply = bytes;
    this.flush();
    if (closes) this.near.end(() => this.end());
  }

  private answered({ bytes, answered }: Piece): void {
    if (!answered) {
      this.near.write(bytes);
      return;
    }
    const slot = this.slots.find(({ reply }) => reply === undefined);
    if (slot === undefined) return;
    if (slot.lost === true) {
      this.end();
      return;
    }
    slot.reply = bytes;
    this.flush();
  }

  /** None overtakes another, or the client would take one reply for that to another command. */
  private flush(): void {
    for (let first = this.slots[0]; first?.reply && !first.withheld; first = this.slots[0]) {
      this.near.write(first.reply);
      this.slots.shift();
    }
  }
}
