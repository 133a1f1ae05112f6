// Code of README.md, checked by readme.spec.ts.
// #region files.controller
import { Body, Controller, Delete, Param, Put, Req, UseGuards } from '@nestjs/common';
import {
  CurrentQuota,
  EnforceCacheQuota,
  keyFromParam,
  QuotaChecker,
  QuotaContext,
} from 'nestjs-cache-quota';
import { AuthGuard, type AuthenticatedRequest } from './auth.guard';
import { FileStorage } from './file-storage';

@Controller('files')
@UseGuards(AuthGuard) // verifies the caller and sets request.user, before the quota is looked at
export class FilesController {
  constructor(
    private readonly storage: FileStorage,
    private readonly quota: QuotaChecker,
  ) {}

  @Put(':key')
  @EnforceCacheQuota({ key: keyFromParam('key') })
  async put(
    @Req() { user }: AuthenticatedRequest,
    @Param('key') key: string,
    @Body() body: Buffer,
    @CurrentQuota() quota?: QuotaContext,
  ) {
    await this.storage.put(user.tenantId, key, body);
    return { key, decision: quota?.decision ?? 'ALLOW' };
  }

  @Delete(':key')
  async remove(@Req() { user }: AuthenticatedRequest, @Param('key') key: string) {
    await this.storage.remove(user.tenantId, key);
    const { freedBytes } = await this.quota.remove(user.tenantId, key);
    return { key, freedBytes };
  }
}
// #endregion
