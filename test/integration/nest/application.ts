import {
  Body,
  Controller,
  Delete,
  ForbiddenException,
  Get,
  HttpException,
  Param,
  Post,
  Put,
  Req,
  UseGuards,
  type CanActivate,
  type DynamicModule,
  type ExecutionContext,
  type INestApplication,
  type NestApplicationOptions,
} from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  CurrentQuota,
  EnforceCacheQuota,
  QuotaChecker,
  QuotaContext,
  QuotaModule,
  SkipCacheQuota,
  fixedSize,
  keyFromParam,
  readBody,
  sizeFromContentLength,
  sizeFromField,
  tenantFromParam,
  tenantFromUser,
  type QuotaModuleOptions,
  type QuotaRequest,
} from '@app/quota';

/** What the routes did, and gates to hold them open. */
export const probe = {
  handled: 0,
  gate: Promise.resolve(),
  undone: [] as string[],
  entered: (): void => undefined,
};

class LaterRefusal implements CanActivate {
  canActivate(): boolean {
    throw new ForbiddenException('later guard');
  }
}

/** Stands for an application's own authentication. */
class Verified implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<QuotaRequest & { user?: unknown }>();
    const id = request.headers['x-verified'];
    if (id !== undefined) request.user = { org: { id } };
    return true;
  }
}

/** A library user's controller: JSON bodies through Nest's own parser. */
@Controller()
export class StoreController {
  constructor(private readonly checker: QuotaChecker) {}

  @Put('store/:key')
  @EnforceCacheQuota({ key: keyFromParam('key'), ttl: (context) => ttlOf(context) })
  put(@Param('key') key: string, @CurrentQuota() quota: QuotaContext) {
    probe.handled += 1;
    return { key, decision: quota.decision, mode: quota.mode };
  }

  @Delete('store/:key')
  async remove(@Param('key') key: string, @Req() request: QuotaRequest) {
    return this.checker.remove(String(request.headers['x-tenant-id']), key);
  }

  @Post('raw/:key')
  @EnforceCacheQuota({ key: keyFromParam('key') })
  raw(@Body() body: Buffer) {
    return { bytes: body.length, first: body[0] ?? null };
  }

  @Post('read/:key')
  @EnforceCacheQuota({ key: keyFromParam('key'), size: sizeFromContentLength() })
  async read(@Req() request: QuotaRequest, @CurrentQuota() quota: QuotaContext) {
    const body = await readBody(request, { maxBytes: 1_000_000 });
    quota.stored(body.length);
    return { bytes: body.length };
  }

  @Post('declared')
  @EnforceCacheQuota({ size: sizeFromField('size_mb') })
  declared() {
    return { ok: true };
  }

  @Post('fixed/:tenant')
  @EnforceCacheQuota({ tenant: tenantFromParam('tenant'), size: fixedSize(10) })
  fixed() {
    return { ok: true };
  }

  @Post('mine')
  @EnforceCacheQuota({ tenant: tenantFromUser('user.org.id'), size: () => 10 })
  @UseGuards(Verified)
  mine() {
    return { ok: true };
  }

  @Post('fails/:key')
  @EnforceCacheQuota({ key: keyFromParam('key'), size: fixedSize(100) })
  fails() {
    throw new HttpException('storage is broken', 502);
  }

  @Post('half/:key')
  @EnforceCacheQuota({ key: keyFromParam('key'), size: fixedSize(100) })
  half(@CurrentQuota() quota: QuotaContext) {
    quota.stored(40);
    throw new HttpException('stored, then failed', 502);
  }

  @Post('grows/:key')
  @EnforceCacheQuota({
    key: keyFromParam('key'),
    size: fixedSize(100),
    undo: async () => {
      probe.undone.push('grows');
    },
  })
  grows(@CurrentQuota() quota: QuotaContext) {
    quota.stored(50 * 1_048_576);
    return { ok: true };
  }

  @Post('self/:key')
  @EnforceCacheQuota({ key: keyFromParam('key'), size: fixedSize(100) })
  async self(@CurrentQuota() quota: QuotaContext) {
    await quota.reservation.commit(60);
    return { ok: true };
  }

  @Post('slow/:key')
  @EnforceCacheQuota({ key: keyFromParam('key'), size: fixedSize(100) })
  async slow() {
    probe.entered();
    await probe.gate;
    probe.handled += 1;
    return { ok: true };
  }

  @Post('guarded-later')
  @UseGuards(LaterRefusal)
  @EnforceCacheQuota({ size: fixedSize(100) })
  guardedLater() {
    return { ok: true };
  }

  @Get('health/live')
  @EnforceCacheQuota({ size: fixedSize(100) })
  live() {
    return { ok: true };
  }

  @Get('healthXYZ')
  @EnforceCacheQuota({ size: fixedSize(100) })
  notHealth() {
    return { ok: true };
  }

  @Get('quota-status')
  status(@Req() request: QuotaRequest) {
    return this.checker.status(String(request.headers['x-tenant-id']));
  }
}

/** A whole controller guarded, with one route left out. */
@Controller('all')
@EnforceCacheQuota({ size: fixedSize(1) })
export class AllController {
  @Post('counted')
  counted() {
    return { ok: true };
  }

  @Post('free')
  @SkipCacheQuota()
  free() {
    return { ok: true };
  }
}

function ttlOf(context: ExecutionContext): number | undefined {
  const { query } = context.switchToHttp().getRequest<{ query: Record<string, string> }>();
  return query['ttl'] === undefined ? undefined : Number(query['ttl']);
}

export type Adapter = 'express' | 'fastify';

/** Starts an application with these routes; `raw` leaves bodies to the library. */
export async function startApplication(
  adapter: Adapter,
  options: QuotaModuleOptions | DynamicModule = {},
  raw = false,
): Promise<{ app: INestApplication; url: string }> {
  const quota = 'module' in options ? options : QuotaModule.forRoot(options);
  const testing = await Test.createTestingModule({
    imports: [quota],
    controllers: [StoreController, AllController],
  }).compile();
  const behaviour: NestApplicationOptions = { bodyParser: !raw, rawBody: !raw, logger: false };
  const app = testing.createNestApplication(
    adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(),
    behaviour,
  );
  if (raw && adapter === 'fastify') passBodiesThrough(app);
  app.enableShutdownHooks();
  await app.listen(0, '127.0.0.1');
  return { app, url: await app.getUrl() };
}

function passBodiesThrough(app: INestApplication): void {
  const fastify = (app as NestFastifyApplication).getHttpAdapter().getInstance();
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', (_request, payload, done) => {
    done(null, payload);
  });
}
