import { Controller, Injectable, Module, Param, Put, UseGuards } from '@nestjs/common';
import { CurrentQuota, EnforceCacheQuota, keyFromParam, QuotaContext } from '@app/quota';
import { TenantGuard } from '../../../src/tenancy/identity.guards';

/** Lets a test hold a handler between its reservation and its end. */
@Injectable()
export class Gate {
  private open: () => void = () => undefined;
  private passed = Promise.resolve();
  /** Handlers that have come so far. */
  arrived = 0;
  /** Handlers that have gone on to their end. */
  finished = 0;

  close(): void {
    this.arrived = 0;
    this.finished = 0;
    this.passed = new Promise((resolve) => (this.open = resolve));
  }

  release(): void {
    this.open();
  }

  async pass(): Promise<void> {
    this.arrived += 1;
    await this.passed;
  }
}

const guarded = { key: keyFromParam('key') };

/** Handlers that fail, or take their time. */
@Controller('probe')
@UseGuards(TenantGuard)
class ProbeController {
  constructor(private readonly gate: Gate) {}

  @Put('fails/:key')
  @EnforceCacheQuota(guarded)
  fails(): never {
    throw new Error('The storage is full of bees.');
  }

  @Put('stores-then-fails/:key')
  @EnforceCacheQuota(guarded)
  storesThenFails(@CurrentQuota() quota: QuotaContext): never {
    quota.stored(1_000);
    throw new Error('Stored, and then this.');
  }

  @Put('slow/:key')
  @EnforceCacheQuota(guarded)
  async slow(@Param('key') key: string): Promise<object> {
    await this.gate.pass();
    this.gate.finished += 1;
    return { key };
  }
}

@Module({ controllers: [ProbeController], providers: [Gate], exports: [Gate] })
export class ProbeModule {}
