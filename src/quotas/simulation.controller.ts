import { Controller, Get, Inject, Query, UseGuards } from '@nestjs/common';
import {
  mbToBytes,
  QUOTA_OPTIONS,
  Simulation,
  simulationAnswer,
  type ResolvedQuotaOptions,
} from '@app/quota';
import type { Plain } from '../http/openapi';
import { invalidInput } from '../http/problem';
import { AdminGuard } from '../tenancy/identity.guards';
import { ApiAdmin } from './admin.openapi';
import { ApiSimulates } from './rollout.openapi';
import { parseQuery } from './query';
import { simulationQuery } from './rollout.schema';
import type { SimulationView } from './simulation.views';

/** What another limit would have refused; for operators. */
@ApiAdmin()
@Controller('admin/simulate')
@UseGuards(AdminGuard)
export class SimulationController {
  constructor(
    private readonly simulation: Simulation,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  @Get()
  @ApiSimulates()
  async simulate(@Query() query: unknown): Promise<Plain<SimulationView>> {
    const {
      since: from,
      limit,
      limitMb,
      overageMb,
      percent,
      tenant,
      after,
    } = parseQuery(simulationQuery, query);
    if (limitMb === undefined && overageMb !== undefined) {
      throw invalidInput('overageMb', 'together with limitMb');
    }
    const span = { from, to: Date.now() };
    const report = await this.simulation.run({
      ...{ span, percent, limit },
      hardBytes: limitMb === undefined ? null : mbToBytes(limitMb) + mbToBytes(overageMb ?? 0),
      ...(tenant !== undefined && { tenant }),
      ...(after !== undefined && { after }),
    });
    const reach = span.to - this.options.decisionsMaxAgeHours * 3_600_000;
    const proposal = {
      limitMb: limitMb ?? null,
      overageMb: limitMb === undefined ? null : (overageMb ?? 0),
      percent,
    };
    return simulationAnswer(proposal, report, span, reach);
  }
}
