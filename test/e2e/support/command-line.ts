import { run } from '../../../libs/quota/src/cli/program';

/** How a command of `quota` has ended, and what it wrote. */
export interface End {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command line in this process, with these variables and no others. */
export async function runWith(env: Record<string, string>, args: readonly string[]): Promise<End> {
  let [out, err] = ['', ''];
  const code = await run(args, {
    env,
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
  });
  return { code, out, err };
}
