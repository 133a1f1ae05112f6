import { isNoScript } from './failures';
import { gatherWrites } from './gather-writes';
import type { RedisCalls, RedisClient } from './redis-calls';
import { loadScripts, type Script, type ScriptName } from './script-source';

export type ScriptArgument = string | Buffer;

type Evaluate = (what: string, keys: number, ...rest: ScriptArgument[]) => Promise<unknown>;

/** There for every command, but left out of the types of ioredis for these. */
interface BinaryClient {
  evalBuffer: Evaluate;
  evalshaBuffer: Evaluate;
}

export interface ScriptCall {
  readonly script: ScriptName;
  readonly keys: readonly string[];
  readonly args: readonly ScriptArgument[];
  /** The reply carries a value: every text in it comes as a Buffer. */
  readonly binary?: boolean;
  /** See {@link RedisCalls.newDeadline}. */
  readonly deadline?: number;
}

/** Runs the scripts by their SHA1, one round trip each; one that Redis forgot is sent whole. */
export class RedisScripts {
  private readonly scripts = loadScripts();

  constructor(readonly calls: RedisCalls) {}

  /**
   * @returns the reply as it came; see replies.ts.
   * @throws QuotaUnavailableError, or InvalidWriteError when the script refuses an argument.
   */
  run(call: ScriptCall): Promise<unknown> {
    const script = this.scripts[call.script];
    return this.calls.guard(call.script, () => this.send(script, call), call.deadline);
  }

  // Never inside MULTI: there an EVALSHA that Redis forgot fails only when it is too late.
  private async send(script: Script, call: ScriptCall): Promise<unknown> {
    try {
      return await this.evaluate('evalsha', script.sha, call);
    } catch (error) {
      if (!isNoScript(error)) throw error;
      return this.evaluate('eval', script.source, call);
    }
  }

  private evaluate(command: 'eval' | 'evalsha', what: string, call: ScriptCall): Promise<unknown> {
    const client = this.calls.client as RedisClient & BinaryClient;
    const rest = [...call.keys, ...call.args];
    gatherWrites(client);
    // Not callBuffer(): with enableAutoPipelining ioredis 5.11 sends that without the command's name.
    return call.binary === true
      ? client[`${command}Buffer`](what, call.keys.length, ...rest)
      : client[command](what, call.keys.length, ...rest);
  }
}
