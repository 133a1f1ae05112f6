import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const OPS = join(__dirname, '../../../ops');

function filesIn(folder: string, ending: string): string[] {
  const names = readdirSync(join(OPS, folder)).filter((name) => name.endsWith(ending));
  return names.map((name) => join(OPS, folder, name));
}

/** By their absolute paths. */
export const RULE_FILES = filesIn('prometheus/rules', '.yml');
export const RULE_TEST_FILES = filesIn('prometheus/tests', '.test.yml');
export const DASHBOARD_FILES = filesIn('grafana', '.json');

interface Target {
  readonly expr: string;
  readonly datasource: { readonly uid: string };
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly Target[];
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string }[];
  };
}

export function dashboards(): Dashboard[] {
  return DASHBOARD_FILES.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Dashboard);
}

/** Each expression with the dashboard and panel it stands in, its variables as Grafana would fill them. */
export function dashboardExpressions(): { where: string; expression: string }[] {
  return dashboards().flatMap(({ title, panels }) =>
    panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr }) => ({
        where: `${title} / ${panel.title}`,
        expression: expr.replaceAll('$job', 'quota').replaceAll('$__rate_interval', '1m'),
      })),
    ),
  );
}
