/** One bar, or one point of a line, with the spread of its rounds. */
export interface Mark {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** Draws it in the colour of what the plot is about. */
  readonly own?: boolean;
}

export interface Chart {
  readonly title: string;
  readonly unit: string;
  readonly marks: readonly Mark[];
  /** A line across, such as the bare route. */
  readonly reference?: number;
}

const WIDTH = 760;
const LEFT = 190;
const RIGHT = 90;
const ROW = 24;
const TOP = 44;
const COLOURS = { own: '#2563a8', other: '#9aa5b1', spread: '#333', line: '#b91c1c' };

/**
 * A chart of bars as an SVG document, with whiskers from the least to the most of the rounds. Our own
 * and no library: the light ones draw on a canvas or want a browser, and this is all that is needed.
 */
export function barChart({ title, unit, marks, reference }: Chart): string {
  const shown = marks.filter(({ value }) => Number.isFinite(value));
  const most = Math.max(reference ?? 0, ...shown.map(({ max }) => max)) || 1;
  const x = (value: number): number => LEFT + (value / most) * (WIDTH - LEFT - RIGHT);
  const height = TOP + shown.length * ROW + 16;
  const bars = shown.map((mark, i) => bar(mark, TOP + i * ROW, x));
  const rule =
    reference === undefined
      ? ''
      : `<line x1="${at(x(reference))}" x2="${at(x(reference))}" y1="${TOP - 6}" y2="${height - 14}" stroke="${COLOURS.line}" stroke-dasharray="4 3"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="22" font-size="15" font-weight="bold">${escape(title)}</text>`,
    `<text x="${WIDTH - 12}" y="22" text-anchor="end" fill="#555">${escape(unit)}</text>`,
    ...bars,
    rule,
    '</svg>\n',
  ].join('\n');
}

function bar(
  { label, value, min, max, own }: Mark,
  y: number,
  x: (value: number) => number,
): string {
  const middle = y + ROW / 2 - 2;
  const width = Math.max(x(value) - LEFT, 1);
  const text = value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2);
  return [
    `<text x="${LEFT - 8}" y="${middle + 4}" text-anchor="end">${escape(label)}</text>`,
    `<rect x="${LEFT}" y="${y}" width="${at(width)}" height="${ROW - 6}" fill="${own === true ? COLOURS.own : COLOURS.other}"/>`,
    `<line x1="${at(x(min))}" x2="${at(x(max))}" y1="${middle}" y2="${middle}" stroke="${COLOURS.spread}"/>`,
    `<text x="${at(x(max) + 6)}" y="${middle + 4}">${text}</text>`,
  ].join('\n');
}

function at(value: number): string {
  return value.toFixed(1);
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
