import { Controller, Put, Req, type Type } from '@nestjs/common';

interface Parsed {
  readonly body: Buffer;
}

/** The measured route behind `guard`: its body was read by the framework's parser, and it answers. */
export function storeController(guard: MethodDecorator): Type {
  @Controller('store')
  class StoreController {
    @Put(':key')
    @guard
    put(@Req() request: Parsed): { bytes: number } {
      return { bytes: request.body.length };
    }
  }
  return StoreController;
}
