import { Controller, Module, Param, Put, Query, UseGuards } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { EnforceCacheQuota, keyFromParam } from '@app/quota';
import { TenantGuard } from '../../../src/tenancy/identity.guards';

/** A handler that takes as long as it is told to, between its reservation and its end. */
@Controller('probe')
@UseGuards(TenantGuard)
class SlowController {
  @Put(':key')
  @EnforceCacheQuota({ key: keyFromParam('key') })
  async slow(@Param('key') key: string, @Query('ms') ms: string): Promise<object> {
    process.stdout.write(`holding ${key}\n`);
    await sleep(Number(ms));
    return { key };
  }
}

@Module({ controllers: [SlowController] })
export class SlowModule {}
