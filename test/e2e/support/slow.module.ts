import { Controller, Delete, Module, Param, Put, UseGuards } from '@nestjs/common';
import { EnforceCacheQuota, keyFromParam } from '@app/quota';
import { TenantGuard } from '../../../src/tenancy/identity.guards';

const held = new Map<string, () => void>();

/** A handler that does not end, between its reservation and its answer, until its key is let go. */
@Controller('probe')
@UseGuards(TenantGuard)
class SlowController {
  @Put(':key')
  @EnforceCacheQuota({ key: keyFromParam('key') })
  async slow(@Param('key') key: string): Promise<object> {
    const letGo = new Promise<void>((resolve) => held.set(key, resolve));
    process.stdout.write(`holding ${key}\n`);
    await letGo;
    return { key };
  }

  /** Takes no part in the quota, so it is answered during a shutdown too. */
  @Delete(':key')
  letGo(@Param('key') key: string): void {
    held.get(key)?.();
  }
}

@Module({ controllers: [SlowController] })
export class SlowModule {}
