import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Server } from 'node:http';

/** Requests on their way may finish within this; orchestrators kill after 30 s. */
const FINISH_MS = 10_000;

/** Lets the service end even when a client is slow to take its answer. */
@Injectable()
export class ShutdownDeadline implements BeforeApplicationShutdown {
  constructor(private readonly adapterHost: HttpAdapterHost) {}

  beforeApplicationShutdown(): void {
    const server = this.adapterHost.httpAdapter.getHttpServer() as Server;
    setTimeout(() => server.closeAllConnections(), FINISH_MS).unref();
  }
}
