import { Module, RequestMethod } from '@nestjs/common';
import { LoggerModule, type Params } from 'nestjs-pino';
import { requestId } from '../http/request-id';
import { SettingsModule } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import { FrameworkQuiet } from './framework-quiet';
import { loggable } from './loggable';
import { QuotaLog } from './quota-log';

/** Structured logs: one JSON line each, or readable text on a developer's terminal. */
@Module({
  imports: [
    LoggerModule.forRootAsync({
      imports: [],
      providers: [],
      inject: [SettingsModule.TOKEN],
      useFactory: (settings: Settings): Params => ({
        pinoHttp: {
          level: settings.LOG_LEVEL,
          ...(isReadable(settings) && { transport: PRETTY }),
          // Defence in depth: the serializers below let no header through.
          redact: ['req.headers.authorization', 'req.headers.cookie'],
          customLogLevel: (_request, response, error) =>
            error !== undefined || response.statusCode >= 500 ? 'error' : 'debug',
          // Its cause was logged where it was caught.
          customErrorObject: (_request, _response, _error, fields: object) => ({
            ...fields,
            err: undefined,
          }),
          serializers: {
            req: (request: { id: unknown; method: string; url: string }) => ({
              id: request.id,
              method: request.method,
              url: loggable(request.url),
            }),
            res: (response: { statusCode: number }) => ({ statusCode: response.statusCode }),
          },
          genReqId: requestId,
        },
        forRoutes: [{ path: '{*path}', method: RequestMethod.ALL }],
      }),
    }),
  ],
  providers: [QuotaLog, FrameworkQuiet],
})
export class LoggingModule {}

const PRETTY = { target: 'pino-pretty', options: { singleLine: true, ignore: 'pid,hostname' } };

function isReadable(settings: Settings): boolean {
  return settings.NODE_ENV === 'development' && process.stdout.isTTY;
}
