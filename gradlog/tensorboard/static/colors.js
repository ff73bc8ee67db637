/** Colours: of runs, the same as TensorBoard's; of numbers; of the page, light or dark. */

// TensorBoard's palette, by the number of a run; the first is lighter on a dark background.
const RUNS = ['#425066', '#12b5cb', '#e52592', '#f9ab00', '#9334e6', '#7cb342', '#e8710a'];
const FIRST_ON_DARK = '#8e98a3';
// From low to high, in even steps of lightness: dark violet, blue, green, yellow.
const STOPS = [
  [0.0, 48, 18, 84],
  [0.2, 66, 62, 134],
  [0.4, 46, 110, 142],
  [0.6, 36, 158, 134],
  [0.8, 122, 204, 88],
  [1.0, 250, 231, 60],
];

export const NONFINITE = '#ff0a8a';
export const ZERO = '#000000';
const ZERO_RGB = [0, 0, 0];
const SHADES = Array.from({length: 512}, (_, index) => mixed(index / 511));

export function isDark() {
  try {
    return window.parent.document.body.classList.contains('dark-mode');
  } catch {
    return window.matchMedia('(prefers-color-scheme: dark)').matches;
  }
}

/** Calls a function when TensorBoard switches between light and dark. */
export function onThemeChange(call) {
  try {
    const options = {attributes: true, attributeFilter: ['class']};
    new MutationObserver(call).observe(window.parent.document.body, options);
  } catch {
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', call);
  }
}

export function runColor(number) {
  return number % RUNS.length === 0 && isDark() ? FIRST_ON_DARK : RUNS[number % RUNS.length];
}

export function ink() {
  return isDark() ? '#e8eaed' : '#212121';
}

export function faint() {
  return isDark() ? '#555b61' : '#dadce0';
}

export function paper() {
  return isDark() ? '#303030' : '#ffffff';
}

function mixed(part) {
  const above = Math.max(
    1,
    STOPS.findIndex((stop) => stop[0] >= part),
  );
  const [low, high] = [STOPS[above - 1], STOPS[above]];
  const weight = (part - low[0]) / (high[0] - low[0]);
  return [1, 2, 3].map((index) => Math.round(low[index] + weight * (high[index] - low[index])));
}

/** The colour of a number from 0 to 1: red, green, blue. */
export function shade(part) {
  return SHADES[Math.round(Math.min(Math.max(part, 0), 1) * (SHADES.length - 1))];
}

/** One scale for all runs: logarithmic, except for fractions, which range from 0 to `max`. */
export class Scale {
  constructor(tables, isFraction, max = 1) {
    this.isFraction = isFraction;
    [this.low, this.high] = isFraction ? [0, max] : [Infinity, -Infinity];
    if (isFraction) return;
    for (const table of tables) {
      const [low, high] = extremes(table);
      if (low < this.low) this.low = low;
      if (high > this.high) this.high = high;
    }
    if (this.high < this.low) [this.low, this.high] = [1e-6, 1];
    if (this.high === this.low) [this.low, this.high] = [this.low / 10, this.high * 10];
  }

  /** The colour of a number: red, green, blue. */
  color(value) {
    if (this.isFraction) return shade(value / this.high);
    if (value <= 0) return ZERO_RGB;
    return shade(Math.log10(value / this.low) / Math.log10(this.high / this.low));
  }

  /** The number at a position from 0 to 1 on the scale. */
  at(part) {
    return this.isFraction ? part * this.high : this.low * (this.high / this.low) ** part;
  }
}

const known = new WeakMap();

/** The smallest and largest positive number of a table; cached, since it may have tens of thousands. */
function extremes(table) {
  if (!known.has(table)) known.set(table, ofRows(table.values));
  return known.get(table);
}

function ofRows(rows) {
  let [low, high] = [Infinity, -Infinity];
  for (const row of rows) {
    for (const value of row) {
      if (value === null || value <= 0) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}
