import { connect, type Socket } from 'node:net';
import type { Service } from './service';

/** A connection that says exactly what it is told to, well-formed or not. */
export class RawConnection {
  private received = '';
  private readonly closed: Promise<void>;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => (this.received += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  static async open(service: Service): Promise<RawConnection> {
    const socket = connect(service.port, '127.0.0.1');
    const connection = new RawConnection(socket);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return connection;
  }

  /** Resolves when the kernel has taken it; false when the other side is gone. */
  write(data: string | Uint8Array): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) resolve(false);
      else this.socket.write(data, 'latin1' as never, (error) => resolve(!error));
    });
  }

  /** Goes away without a word. */
  async vanish(): Promise<void> {
    this.socket.resetAndDestroy();
    await this.closed;
  }

  /** All that came until the other side closed the connection. */
  async untilClosed(): Promise<string> {
    await this.closed;
    return this.received;
  }

  get text(): string {
    return this.received;
  }

  /** The status of the answer so far; 0 before there is one. */
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.received)?.[1] ?? 0);
  }

  get isClosed(): boolean {
    return this.socket.destroyed;
  }
}

/** Lines of a request head. */
export function head(...lines: string[]): string {
  return [...lines, 'Host: localhost', '', ''].join('\r\n');
}

/** Sends one request as it is and gives all that comes back. The request should say `Connection: close`. */
export async function sendRaw(service: Service, data: string | Uint8Array): Promise<string> {
  const connection = await RawConnection.open(service);
  await connection.write(data);
  return connection.untilClosed();
}
