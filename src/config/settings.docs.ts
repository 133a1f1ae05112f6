import type { Setting } from './setting';
import { SETTINGS } from './settings.schema';

const all = Object.entries<Setting<unknown>>(SETTINGS);

/** The text of `.env.example`: every setting with its default and one line. */
export function envExample(): string {
  const blocks = all.map(([name, setting]) => {
    const { about, allowed, default: preset } = setting;
    const note = typeof preset === 'object' ? ` Default: ${preset.note}.` : '';
    const value = typeof preset === 'string' ? preset : '';
    return `# ${about} Allowed: ${allowed}.${note}\n${name}=${value}\n`;
  });
  return ['# Copy to .env and change what you need.\n', ...blocks].join('\n');
}

/** The table of `docs/configuration.md`. */
export function settingsTable(): string {
  const rows = all.map(([name, { about, allowed, default: preset }]) => {
    const value = typeof preset === 'object' ? preset.note : preset ? `\`${preset}\`` : 'not set';
    return [`\`${name}\``, value, about, allowed];
  });
  const lines = [['Setting', 'Default', 'What it does', 'Allowed'], ...rows];
  const widths = [0, 1, 2, 3].map((i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  const cells = lines.map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)));
  const rule = widths.map((width) => '-'.repeat(width));
  const [head = [], ...body] = cells;
  return [head, rule, ...body].map((line) => `| ${line.join(' | ')} |`).join('\n');
}
