// What several runs of Jest have covered of the library, together, and whether it is enough.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import coverage from 'istanbul-lib-coverage';
import report from 'istanbul-lib-report';
import reports from 'istanbul-reports';

/** Percent of libs/quota. */
const LEAST = { lines: 95, branches: 90 };

/** Prints the files and the sum. Returns 1 when it is too little, or a run has left nothing. */
export function reportCoverage(folder, runs) {
  const map = coverage.createCoverageMap();
  for (const run of runs) {
    const file = join(folder, run, 'coverage-final.json');
    if (!existsSync(file)) {
      console.error(`coverage: the run "${run}" has left none.`);
      return 1;
    }
    map.merge(JSON.parse(readFileSync(file, 'utf8')));
  }
  const context = report.createContext({ dir: folder, coverageMap: map });
  for (const kind of ['text', 'lcovonly']) reports.create(kind).execute(context);
  const summary = map.getCoverageSummary();
  const short = Object.entries(LEAST).filter(([what, least]) => summary[what].pct < least);
  for (const [what, least] of short) {
    console.error(`coverage: ${summary[what].pct} % of ${what}, at least ${least} are wanted.`);
  }
  return short.length > 0 ? 1 : 0;
}
