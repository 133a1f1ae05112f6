import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECK_DURATION, counterNames, gaugeNames } from '../../../src/ops/metrics';
import { dashboards, RULE_FILES, RULE_TEST_FILES, type Panel } from './files';

const RUNBOOK = join(__dirname, '../../../docs/operations/runbook.md');

function promtool(...args: string[]): Promise<{ stdout: string }> {
  return promisify(execFile)(process.env['PROMTOOL_BIN'] ?? 'promtool', args);
}

it('the rules are well-formed, and do what their tests say', async () => {
  await promtool('check', 'rules', ...RULE_FILES);
  await promtool('test', 'rules', ...RULE_TEST_FILES);
});

describe('every alert', () => {
  const rules = RULE_FILES.map((file) => readFileSync(file, 'utf8')).join('\n');
  const tests = RULE_TEST_FILES.map((file) => readFileSync(file, 'utf8')).join('\n');
  const runbook = readFileSync(RUNBOOK, 'utf8');
  const alerts = [...rules.matchAll(/- alert: (\w+)\n([^]*?)(?=\n {6}- alert|\n\S|$)/g)].map(
    ([, name = '', text = '']) => ({ name, text }),
  );
  const chapters = new Map(
    runbook
      .split(/^## /m)
      .slice(1)
      .map((chapter) => [chapter.split('\n', 1)[0], chapter]),
  );

  it('has a chapter in the runbook, and each chapter an alert', () => {
    expect(alerts.length).toBeGreaterThan(0);
    expect([...chapters.keys()].sort()).toEqual(alerts.map(({ name }) => name).sort());
  });

  it.each(alerts)('$name: the chapter says what to do, and the alert leads to it', (alert) => {
    const chapter = chapters.get(alert.name) ?? '';
    for (const part of ['What it means', 'What to look at', 'What to do']) {
      expect(chapter).toContain(`\n### ${part}\n`);
    }
    expect(alert.text).toContain(
      `runbook_url: docs/operations/runbook.md#${alert.name.toLowerCase()}`,
    );
    expect(alert.text).toMatch(/severity: (critical|warning|info) /);
  });

  it.each(alerts)('$name: a test lets it fire', ({ name }) => {
    expect(tests).toMatch(
      new RegExp(`alertname: ${name}\\n +eval_time: \\S+\\n +exp_alerts:\\n +- `),
    );
  });
});

it('every metric has a row in the documentation', () => {
  const text = readFileSync(join(__dirname, '../../../docs/http-api.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `(quota_\w+)` +\|/gm)].map(([, name]) => name);
  expect(rows.sort()).toEqual([CHECK_DURATION, ...counterNames, ...gaugeNames].sort());
});

describe.each(dashboards())('the dashboard $title', ({ panels, templating }) => {
  const queries = panels.filter(({ type }) => type !== 'row');

  it('takes its data source and job from variables', () => {
    expect(templating.list.map(({ name, type }) => [name, type])).toEqual([
      ['datasource', 'datasource'],
      ['job', 'query'],
    ]);
    for (const { datasource, expr } of queries.flatMap(({ targets }) => targets ?? [])) {
      expect(datasource.uid).toBe('${datasource}');
      expect(expr).toContain('job=~"$job"');
    }
  });

  it('explains each panel, and lets none lie upon another', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { title, description, targets } of queries) {
      expect([title, description?.length]).toEqual([title, expect.any(Number)]);
      expect(targets?.length).toBeGreaterThan(0);
    }
    const overlap = (a: Panel, b: Panel): boolean =>
      a.gridPos.x < b.gridPos.x + b.gridPos.w &&
      b.gridPos.x < a.gridPos.x + a.gridPos.w &&
      a.gridPos.y < b.gridPos.y + b.gridPos.h &&
      b.gridPos.y < a.gridPos.y + a.gridPos.h;
    const pairs = panels.flatMap((a, i) => panels.slice(i + 1).map((b): [Panel, Panel] => [a, b]));
    expect(pairs.filter(([a, b]) => overlap(a, b)).map(([a, b]) => [a.title, b.title])).toEqual([]);
  });
});
