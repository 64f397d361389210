/** Charts as inline SVG: no scripts, nothing from a network. */

export interface Series {
  readonly name: string;
  /** [x, y] */
  readonly points: readonly (readonly [number, number])[];
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xFormat: (value: number) => string;
  readonly yFormat: (value: number) => string;
  /** Horizontal lines, dashed. */
  readonly limits?: readonly { readonly name: string; readonly y: number }[];
}

const WIDTH = 460;
const HEIGHT = 280;
const MARGIN = { left: 74, right: 14, top: 30, bottom: 42 };

const COLORS = ['#1b6ca8', '#d1495b', '#3a7d44', '#e09f3e', '#6a4c93', '#6b705c', '#1aa6a6'];

/** Series past the last colour begin again with dashes. */
const colorOf = (i: number): string => COLORS[i % COLORS.length] ?? '#000';
const isDashed = (i: number): boolean => Math.floor(i / COLORS.length) % 2 === 1;

export const escapeText = (text: string): string =>
  text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

interface Scale {
  readonly place: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Logarithmic, ticks at 1, 2 and 5 times powers of ten. */
function logScale(values: readonly number[], from: number, to: number): Scale {
  const positive = values.filter((value) => value > 0);
  const low = Math.log10(Math.min(...positive) * 0.9);
  const high = Math.log10(Math.max(...positive) * 1.1);
  const place = (value: number): number =>
    from + ((Math.log10(value) - low) / (high - low || 1)) * (to - from);
  const ticks: number[] = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const digit of high - low > 2.5 ? [1] : [1, 2, 5]) {
      const value = digit * 10 ** power;
      if (Math.log10(value) >= low && Math.log10(value) <= high) ticks.push(value);
    }
  }
  return { place, ticks };
}

/** Both axes logarithmic; values that are not positive are left out. */
export function lineChart(series: readonly Series[], options: ChartOptions): string {
  const { limits = [] } = options;
  const points = series.flatMap((one) => one.points).filter(([x, y]) => x > 0 && y > 0);
  if (points.length === 0) return '';
  const xs = points.map(([x]) => x);
  const x = logScale(xs, MARGIN.left, WIDTH - MARGIN.right);
  const ys = [...points.map(([, y]) => y), ...limits.map((limit) => limit.y)];
  const y = logScale(ys, HEIGHT - MARGIN.bottom, MARGIN.top);
  const parts = [
    ...frame(options),
    // Where calls were measured, not powers of ten, when there are few places.
    ...([...new Set(xs)].length <= 6
      ? [...new Set(xs)].map((at) => tickX(x.place(at), options.xFormat(at)))
      : x.ticks.map((at) => tickX(x.place(at), options.xFormat(at)))),
    ...y.ticks.map((at) => tickY(y.place(at), options.yFormat(at))),
    ...limits.map(
      ({ name, y: at }, i) =>
        `<line class="limit" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y.place(at)}" y2="${y.place(at)}"/>` +
        `<text class="note" x="${i % 2 === 0 ? MARGIN.left + 4 : WIDTH - MARGIN.right - 4}" y="${y.place(at) - 4}"` +
        `${i % 2 === 0 ? '' : ' text-anchor="end"'}>${escapeText(name)}</text>`,
    ),
  ];
  for (const [i, { name, points: all }] of series.entries()) {
    const color = colorOf(i);
    const dashes = isDashed(i) ? ' stroke-dasharray="6 4"' : '';
    const kept = all.filter(([px, py]) => px > 0 && py > 0);
    const path = kept.map(([px, py]) => `${x.place(px).toFixed(1)},${y.place(py).toFixed(1)}`);
    parts.push(
      `<polyline fill="none" stroke="${color}" stroke-width="2"${dashes} points="${path.join(' ')}"/>`,
    );
    for (const [px, py] of kept) {
      const label = `${name}: ${options.xFormat(px)}, ${options.yFormat(py)}`;
      parts.push(
        `<circle cx="${x.place(px).toFixed(1)}" cy="${y.place(py).toFixed(1)}" r="3" fill="${color}">` +
          `<title>${escapeText(label)}</title></circle>`,
      );
    }
  }
  return figure(parts, series);
}

function frame({ title, xLabel, yLabel }: ChartOptions): string[] {
  return [
    `<text class="title" x="${MARGIN.left}" y="16">${escapeText(title)}</text>`,
    `<text class="note" x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escapeText(xLabel)}</text>`,
    `<text class="note" transform="translate(12 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">${escapeText(yLabel)}</text>`,
    `<rect x="${MARGIN.left}" y="${MARGIN.top}" width="${WIDTH - MARGIN.left - MARGIN.right}" height="${HEIGHT - MARGIN.top - MARGIN.bottom}" class="frame"/>`,
  ];
}

/** The last label ends where the frame does, so that it is not cut off. */
const tickX = (at: number, text: string): string =>
  `<line class="grid" x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${HEIGHT - MARGIN.bottom}"/>` +
  `<text class="tick" x="${at}" y="${HEIGHT - MARGIN.bottom + 14}" ` +
  `text-anchor="${at > WIDTH - MARGIN.right - 24 ? 'end' : 'middle'}">${escapeText(text)}</text>`;

const tickY = (at: number, text: string): string =>
  `<line class="grid" y1="${at}" y2="${at}" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}"/>` +
  `<text class="tick" x="${MARGIN.left - 6}" y="${at + 4}" text-anchor="end">${escapeText(text)}</text>`;

function figure(parts: readonly string[], series: readonly Series[]): string {
  const legend = series
    .map(({ name }, i) => {
      const color = colorOf(i);
      const mark = isDashed(i) ? `border:2px dashed ${color}` : `background:${color}`;
      return `<span><i style="${mark}"></i>${escapeText(name)}</span>`;
    })
    .join('');
  return (
    `<figure><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${parts.join('')}</svg>` +
    `<figcaption>${legend}</figcaption></figure>`
  );
}

/** A ratio on a bar whose middle is 1, with its spread and, where there is one, its goal. */
export function ratioBar(
  ratio: { median: number; min: number; max: number },
  least: number | undefined,
): string {
  const place = (value: number): number =>
    Math.max(2, Math.min(198, 100 + 40 * Math.log2(Math.max(value, 1e-3))));
  const from = Math.min(100, place(ratio.median));
  const width = Math.abs(place(ratio.median) - 100);
  const color = ratio.median >= (least ?? 1) ? '#3a7d44' : '#d1495b';
  const mark =
    least === undefined
      ? ''
      : `<line x1="${place(least)}" x2="${place(least)}" y1="0" y2="16" stroke="#333" stroke-dasharray="2 2"/>`;
  return (
    `<svg class="bar" viewBox="0 0 200 16"><line x1="100" x2="100" y1="0" y2="16" stroke="#999"/>` +
    `<rect x="${from}" y="3" width="${width}" height="10" fill="${color}"/>` +
    `<line x1="${place(ratio.min)}" x2="${place(ratio.max)}" y1="8" y2="8" stroke="#111"/>${mark}</svg>`
  );
}
