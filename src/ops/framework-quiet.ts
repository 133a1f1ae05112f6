import { Injectable } from '@nestjs/common';
import { Logger } from 'nestjs-pino';

const CHATTY = new Set(['InstanceLoader', 'RouterExplorer', 'RoutesResolver']);

/** Nest's own account of its start, forty lines of it, at debug. */
@Injectable()
export class FrameworkQuiet extends Logger {
  override log(message: unknown, ...more: unknown[]): void {
    if (CHATTY.has(String(more.at(-1)))) super.debug(message, ...more);
    else super.log(message, ...more);
  }
}
