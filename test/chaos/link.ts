import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/**
 * - `open`: as if it were not there
 * - `hang`: connections stay and are taken, nothing passes until it is open again
 * - `delay`: every chunk is late, in both directions
 * - `deaf`: what is sent arrives; the first reply is lost with its connection
 */
export type Trouble =
  { readonly kind: 'open' | 'hang' | 'deaf' } | { readonly kind: 'delay'; readonly ms: number };

const HOST = '127.0.0.1';

/** A TCP proxy on loopback between one application process and one server, that can be in trouble. */
export class Link {
  private trouble: Trouble = { kind: 'open' };
  private readonly lanes = new Set<Lane>();
  private server: Server | null = null;
  port = 0;

  constructor(private readonly target: number) {}

  async open(): Promise<void> {
    if (this.server !== null) return;
    const server = createServer((near) => this.accept(near));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(this.port, HOST, resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  /** Connections are refused from here on until {@link open}; those there are go. */
  async refuse(): Promise<void> {
    const { server } = this;
    this.server = null;
    this.cut();
    if (server !== null) await new Promise((resolve) => server.close(resolve));
  }

  cut(): void {
    for (const lane of this.lanes) lane.end();
  }

  set(trouble: Trouble): void {
    this.trouble = trouble;
    for (const lane of this.lanes) lane.flush();
  }

  private accept(near: Socket): void {
    const lane = new Lane(near, connect(this.target, HOST), () => this.trouble);
    this.lanes.add(lane);
    near.once('close', () => this.lanes.delete(lane));
  }
}

interface Chunk {
  readonly to: Socket;
  readonly data: Buffer;
  readonly due: number;
}

/** One connection. Chunks leave in the order they came, also when the trouble changes meanwhile. */
class Lane {
  private readonly waiting: { out: Chunk[]; back: Chunk[] } = { out: [], back: [] };

  constructor(
    private readonly near: Socket,
    private readonly far: Socket,
    private readonly trouble: () => Trouble,
  ) {
    for (const socket of [near, far]) {
      socket.setNoDelay(true).on('error', () => this.end());
      socket.on('close', () => this.end());
    }
    near.on('data', (data: Buffer) => this.pass('out', far, data));
    far.on('data', (data: Buffer) => this.pass('back', near, data));
  }

  end(): void {
    this.near.destroy();
    this.far.destroy();
  }

  flush(): void {
    const trouble = this.trouble();
    if (trouble.kind === 'hang') return;
    const now = performance.now();
    for (const queue of Object.values(this.waiting)) {
      while (queue[0] !== undefined && queue[0].due <= now) {
        const [chunk] = queue.splice(0, 1);
        if (chunk !== undefined && !chunk.to.destroyed) chunk.to.write(chunk.data);
      }
    }
  }

  private pass(way: 'out' | 'back', to: Socket, data: Buffer): void {
    const trouble = this.trouble();
    if (trouble.kind === 'deaf' && way === 'back') {
      this.end();
      return;
    }
    const queue = this.waiting[way];
    const late = trouble.kind === 'delay' ? trouble.ms : 0;
    if (queue.length === 0 && late === 0 && trouble.kind !== 'hang') {
      to.write(data);
      return;
    }
    const due = Math.max(queue.at(-1)?.due ?? 0, performance.now() + late);
    queue.push({ to, data, due });
    setTimeout(() => this.flush(), Math.ceil(due - performance.now()) + 1).unref();
  }
}
