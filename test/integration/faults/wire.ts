/** One message, or one round of them, that the other side answers with one reply. */
export interface Piece {
  readonly bytes: Buffer;
  /** False: part of the greeting, or something that gets no answer. */
  readonly answered: boolean;
}

/** Cuts what comes over a connection into pieces. */
export type Splitter = (chunk: Buffer) => Piece[];

export interface Protocol {
  requests(): Splitter;
  replies(): Splitter;
  /** False: of the client's own, such as its look whether the server is ready. */
  isCommand(request: Buffer): boolean;
  /** What a server would say, rotating; `closes`: and end the connection. */
  readonly errors: readonly { readonly bytes: Buffer; readonly closes: boolean }[];
}

/** What the breakers send by themselves. */
const PROBE = 'quota-breaker-probe';

/** Takes complete pieces off what has come so far; `take` says how long the first one is, or null. */
function splitter(take: (have: Buffer) => { length: number; answered: boolean } | null): Splitter {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const pieces: Piece[] = [];
    for (let next = take(rest); next !== null; next = take(rest)) {
      pieces.push({ bytes: rest.subarray(0, next.length), answered: next.answered });
      rest = rest.subarray(next.length);
    }
    return pieces;
  };
}

/** Where the RESP2 value that begins at `at` ends; null: it is not all there yet. */
function respEnd(data: Buffer, at: number): number | null {
  const line = data.indexOf('\r\n', at);
  if (line === -1) return null;
  const kind = String.fromCharCode(data[at] ?? 0);
  const size = Number(data.toString('latin1', at + 1, line));
  if (kind === '$') {
    const end = size < 0 ? line + 2 : line + 2 + size + 2;
    return end <= data.length ? end : null;
  }
  if (kind !== '*') return line + 2;
  let end: number | null = line + 2;
  for (let i = 0; i < size && end !== null; i += 1) end = respEnd(data, end);
  return end;
}

const resp = (): Splitter =>
  splitter((have) => {
    const length = have.length === 0 ? null : respEnd(have, 0);
    return length === null ? null : { length, answered: true };
  });

const OF_THE_CLIENT = /^\*\d+\r\n\$\d+\r\n(info|client|hello|auth|select|ping|quit)\r\n/i;

const REDIS_ERRORS = [
  'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  'LOADING Redis is loading the dataset in memory',
  "OOM command not allowed when used memory > 'maxmemory'.",
  "READONLY You can't write against a read only replica.",
  'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.',
  'NOREPLICAS Not enough good replicas to write.',
  'CLUSTERDOWN The cluster is down',
];

export const redisProtocol: Protocol = {
  requests: resp,
  replies: resp,
  isCommand: (request) =>
    !OF_THE_CLIENT.test(request.toString('latin1', 0, 40)) && !request.includes(PROBE),
  errors: REDIS_ERRORS.map((text) => ({ bytes: Buffer.from(`-${text}\r\n`), closes: false })),
};

/** Up to Sync (`S`) or a simple Query (`Q`); what comes before the first of them is the greeting. */
function postgresRequests(): Splitter {
  let greeted = false;
  return splitter((have) => {
    if (!greeted) {
      if (have.length < 4 || have.length < have.readInt32BE(0)) return null;
      greeted = true;
      return { length: have.readInt32BE(0), answered: false };
    }
    for (let at = 0; at + 5 <= have.length;) {
      const type = String.fromCharCode(have[at] ?? 0);
      at += 1 + have.readInt32BE(at + 1);
      if (at > have.length) return null;
      if (type === 'p' || type === 'X') return { length: at, answered: false };
      if (type === 'S' || type === 'Q') return { length: at, answered: true };
    }
    return null;
  });
}

/** Up to ReadyForQuery (`Z`), of which the first ends the greeting. */
function postgresReplies(): Splitter {
  let greeted = false;
  return splitter((have) => {
    for (let at = 0; at + 5 <= have.length;) {
      const type = String.fromCharCode(have[at] ?? 0);
      at += 1 + have.readInt32BE(at + 1);
      if (at > have.length) return null;
      if (greeted && type === 'Z') return { length: at, answered: true };
      if (!greeted) {
        greeted = type === 'Z';
        return { length: at, answered: false };
      }
    }
    return null;
  });
}

const POSTGRES_ERRORS = [
  ['57014', 'canceling statement due to statement timeout'],
  ['53300', 'sorry, too many clients already'],
  ['57P01', 'terminating connection due to administrator command'],
  ['40001', 'could not serialize access due to concurrent update'],
  ['40P01', 'deadlock detected'],
  ['53100', 'could not extend file: No space left on device'],
] as const;

/** Ends the session as well, as the server does with these. */
const FATAL = new Set<string>(['53300', '57P01']);

function errorResponse([code, text]: readonly [string, string]): Protocol['errors'][number] {
  const closes = FATAL.has(code);
  const severity = closes ? 'FATAL' : 'ERROR';
  const fields = `S${severity}\0V${severity}\0C${code}\0M${text}\0\0`;
  const head = Buffer.from('E....');
  head.writeInt32BE(4 + Buffer.byteLength(fields), 1);
  const ready = closes ? '' : 'Z\0\0\0\x05I';
  return { bytes: Buffer.concat([head, Buffer.from(fields), Buffer.from(ready)]), closes };
}

export const postgresProtocol: Protocol = {
  requests: postgresRequests,
  replies: postgresReplies,
  isCommand: (request) => !request.includes(PROBE),
  errors: POSTGRES_ERRORS.map(errorResponse),
};
