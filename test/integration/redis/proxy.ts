import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Proxy {
  readonly port: number;
  /** How many connections were cut. */
  readonly cuts: number;
  /** The next thing sent is lost with its connection: on its way there, or its reply on the way back. */
  cutNext(when: 'before' | 'after'): void;
  /** Cuts every connection, and each new one at once, until `up()`: the server is away for this side. */
  down(): void;
  up(): void;
  /** New connections lead to another server, as a name does that was given to it. */
  retarget(port: number): void;
  /** Replies come so many ms late from here on; with Infinity, when it is called again. */
  delay(ms: number): void;
  close(): Promise<void>;
}

/** A TCP proxy on loopback that can lose a request or a reply. */
export async function startProxy(first: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let cut: 'before' | 'after' | undefined;
  let cuts = 0;
  let away = false;
  let target = first;
  let late = 0;
  const held: (() => void)[] = [];
  const due = (): Promise<void> =>
    new Promise((resolve) => {
      if (late === Infinity) held.push(resolve);
      else setTimeout(resolve, late);
    });
  const server = createServer((near) => {
    if (away) {
      near.destroy();
      return;
    }
    const far = connect(target, '127.0.0.1');
    let muted = false;
    let earlier: Promise<unknown> | undefined;
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', end).on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    near.on('data', (chunk) => {
      if (cut === 'before') {
        [cut, cuts] = [undefined, cuts + 1];
        end();
        return;
      }
      muted ||= cut === 'after';
      cut = undefined;
      far.write(chunk);
    });
    far.on('data', (chunk) => {
      if (!muted) {
        if (late === 0 && earlier === undefined) {
          near.write(chunk);
          return;
        }
        // None overtakes another, or the client would take one reply for that to another command.
        const mine = Promise.all([earlier, due()]).then(() => {
          near.write(chunk);
          if (earlier === mine) earlier = undefined;
        });
        earlier = mine;
        return;
      }
      cuts += 1;
      end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get cuts() {
      return cuts;
    },
    cutNext: (when) => {
      cut = when;
    },
    down: () => {
      away = true;
      for (const socket of sockets) socket.destroy();
    },
    up: () => {
      away = false;
    },
    retarget: (to) => {
      target = to;
      for (const socket of sockets) socket.destroy();
    },
    delay: (ms) => {
      late = ms;
      for (const release of held.splice(0)) release();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
