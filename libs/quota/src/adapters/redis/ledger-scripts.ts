import { InvalidWriteError, parseTenantId, ReservationConflictError, type Usage } from '../../core';
import type { RedisKeys } from './keys';
import { Reply, ReplyCode } from './replies';
import type { RedisScripts, ScriptArgument } from './redis-scripts';
import type { ScriptName } from './script-source';
import { SMALL_VALUE_BYTES, ValueLane } from './value-lane';

/** Called when a sum of the ledger would have gone below zero: a defect of ours, to be counted. */
export type DefectListener = (operation: string, tenant: string, count: number) => void;

export interface LedgerCall {
  readonly script: ScriptName;
  readonly tenant: string;
  readonly args: readonly ScriptArgument[];
  /** The write's id, for the error when it was used for another one. */
  readonly id?: string;
  readonly binary?: boolean;
  /** Bytes of the value it carries, there or back; a large one goes by the {@link ValueLane}. */
  readonly valueBytes?: number;
}

/** Runs scripts on a tenant's ledger, and reads what all their replies have in common. */
export class LedgerScripts {
  private readonly lane: ValueLane;

  constructor(
    private readonly scripts: RedisScripts,
    private readonly keys: RedisKeys,
    private readonly onDefect?: DefectListener,
  ) {
    this.lane = new ValueLane(scripts.calls);
  }

  /**
   * Runs a script, again while it answers `again` (it stopped reaping before it was done), all
   * within one deadline.
   *
   * @throws ReservationConflictError, InvalidWriteError, QuotaUnavailableError
   */
  run(call: LedgerCall, again?: ReplyCode): Promise<{ reply: Reply; usage: Usage }> {
    const { script, valueBytes = 0 } = call;
    if (valueBytes <= SMALL_VALUE_BYTES) {
      return this.runOn(this.scripts, this.scripts.calls.newDeadline(), call, again);
    }
    return this.lane.carry(script, valueBytes, (scripts, deadline) =>
      this.runOn(scripts, deadline, call, again),
    );
  }

  /** Runs a script once whose reply has no usage in it. */
  raw(call: LedgerCall): Promise<Reply> {
    return this.once(this.scripts, this.scripts.calls.newDeadline(), call);
  }

  private async runOn(
    scripts: RedisScripts,
    deadline: number,
    call: LedgerCall,
    again?: ReplyCode,
  ): Promise<{ reply: Reply; usage: Usage }> {
    for (;;) {
      const reply = await this.once(scripts, deadline, call);
      const usage = reply.usage();
      const defects = reply.whole();
      if (defects > 0) this.onDefect?.(call.script, call.tenant, defects);
      if (reply.code === ReplyCode.CONFLICT) throw new ReservationConflictError(call.id ?? '');
      if (reply.code === ReplyCode.BEYOND_MAX) throw beyondMax();
      if (reply.code !== again) return { reply, usage };
    }
  }

  private async once(scripts: RedisScripts, deadline: number, call: LedgerCall): Promise<Reply> {
    const { script, tenant, args, binary = false } = call;
    const keys = this.keys.ledger(parseTenantId(tenant));
    return new Reply(script, await scripts.run({ script, keys, args, binary, deadline }));
  }
}

function beyondMax(): InvalidWriteError {
  return new InvalidWriteError(
    { where: 'size', allowed: 'sums up to 2^53 − 1 bytes' },
    'With this write the tenant would hold more than 2^53 − 1 bytes, which cannot be counted exactly.',
  );
}
