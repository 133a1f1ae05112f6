/** How the command line ends; what a script can go by. */
export const EXIT = {
  done: 0,
  /** Nothing of the below. */
  failed: 1,
  /** What was typed is not a command, or not with these values. */
  usage: 2,
  notFound: 3,
  /** It was changed by somebody else since, or may not be changed so. */
  conflict: 4,
  /** No identity, or not an admin's. */
  denied: 5,
  /** The service or a store of it does not answer. Try again later. */
  unavailable: 6,
  /** The stores cannot say or do that: only a running service can. */
  needsService: 7,
} as const;

/** What went wrong, said for people, with the code the process ends with. */
export class CliError extends Error {
  constructor(
    message: string,
    readonly exitCode: number = EXIT.failed,
  ) {
    super(message);
    this.name = 'CliError';
  }
}
