import type { Span } from '../decision-store';
import type { ReplayedRefusal } from '../replay';
import type { SimulatedTenant, SimulationReport } from '../simulation';
import { coverageAnswer, isoTime, type CoverageAnswer } from './rollout-view';

/** The limit that the writes were held against. */
export interface ProposalAnswer {
  limitMb: number | null;
  overageMb: number | null;
  percent: number;
}

export interface SimulatedRefusalAnswer {
  at: string;
  bytes: number;
  usedBytes: number | null;
  beyondBytes: number;
}

export interface SimulatedTenantAnswer {
  tenantId: string;
  writes: number;
  refusals: number;
  refusedBytes: number;
  furthestBeyondBytes: number;
  firstAt: string;
  lastAt: string;
  first: SimulatedRefusalAnswer[];
}

export interface SimulationSummaryAnswer {
  rows: number;
  tenants: number;
  enforcedTenants: number;
  refusedTenants: number;
  refusals: number;
  refusedBytes: number;
}

export interface SimulationAnswer {
  proposal: ProposalAnswer;
  record: CoverageAnswer;
  summary: SimulationSummaryAnswer;
  items: SimulatedTenantAnswer[];
  next: string | null;
}

/** @param reach from when on rows are kept by their age, in ms since the epoch */
export function simulationAnswer(
  proposal: ProposalAnswer,
  report: SimulationReport,
  span: Span,
  reach: number,
): SimulationAnswer {
  const { rows, tenants, enforcedTenants, refusedTenants, refusals, refusedBytes } = report;
  return {
    proposal,
    record: coverageAnswer(report.coverage, span, reach),
    summary: { rows, tenants, enforcedTenants, refusedTenants, refusals, refusedBytes },
    items: report.listed.map(tenantAnswer),
    next: report.next,
  };
}

function tenantAnswer(found: SimulatedTenant): SimulatedTenantAnswer {
  const { tenant: tenantId, writes, refusals, refusedBytes, furthestBeyondBytes } = found;
  return {
    ...{ tenantId, writes, refusals, refusedBytes, furthestBeyondBytes },
    ...{ firstAt: isoTime(found.firstAt), lastAt: isoTime(found.lastAt) },
    first: found.first.map(refusalAnswer),
  };
}

function refusalAnswer(refusal: ReplayedRefusal): SimulatedRefusalAnswer {
  const { at, bytes, usedBytes, beyondBytes } = refusal;
  return { at: isoTime(at), bytes, usedBytes, beyondBytes };
}
