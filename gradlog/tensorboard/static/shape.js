/** Shape: what the server answers, as the pictures need it; pure functions of data. */

const FRACTIONS = ['gradient_zero_fraction', 'activation_dead', 'activation_saturated'];

/** Whether a statistic goes from 0 to 1. */
export function isFraction(statistic) {
  return FRACTIONS.includes(statistic);
}

/** A run's table with only the kernels, only the biases, or all; with `labels` and the non-finite as `marks`. */
export function ofPart(table, part) {
  const ending = {kernels: 'kernel', biases: 'bias'}[part];
  let places = table.variables.map((_, place) => place);
  if (ending && !table.statistic.startsWith('activation_') && table.variables.some((name) => name.includes('/'))) {
    places = places.filter((place) => table.variables[place].split('/').at(-1) === ending);
  }
  const isHere = new Map(places.map((place, index) => [place, index]));
  const marks = new Map();
  for (const [time, place, count] of table.nonfinite) {
    if (isHere.has(place)) marks.set(`${time} ${isHere.get(place)}`, count);
  }
  const variables = places.map((place) => table.variables[place]);
  return {
    ...table,
    variables,
    labels: ending ? variables.map(layerOf) : variables,
    values: table.values.map((row) => places.map((place) => row[place])),
    marks,
  };
}

/** The layer of a variable: `layer1` of `layer1/kernel`. */
export function layerOf(name) {
  return /\/(kernel|bias)$/.test(name) ? name.slice(0, name.lastIndexOf('/')) : name;
}

/** The variable of a name, or else of its layer: statistics of activations go by layers. */
export function sameLayer(variables, name) {
  return variables.includes(name) ? name : variables.find((each) => layerOf(each) === layerOf(name));
}

/**
 * Histograms of several runs with their rare smallest magnitudes put together, which would take most of a picture.
 * @param {Array} histograms What the server answers.
 * @param {number} part Of the elements of a step; no more than this is put together anywhere.
 * @returns The histograms, those that were cut with `isCut`: the first count is of all that is less than its end.
 */
export function withoutTail(histograms, part) {
  const ends = histograms.flatMap(({first, counts, zeros}) =>
    counts.flatMap((row, time) => (row.length ? [first + tailOf(row, part * sum(row, zeros[time]))] : [])),
  );
  const least = Math.min(...new Set(ends)); // octaves, of which there are few
  return histograms.map((histogram) => {
    const number = least - histogram.first;
    if (!(number > 0) || !Number.isFinite(number)) return histogram;
    const counts = histogram.counts.map((row) => [sum(row.slice(0, number + 1), 0), ...row.slice(number + 1)]);
    return {...histogram, first: least, counts, isCut: true};
  });
}

/** How many of the first counts make up so many elements at most. */
function tailOf(row, most) {
  let [number, elements] = [0, 0];
  while (number < row.length - 1 && (elements += row[number]) <= most) number++;
  return number;
}

function sum(numbers, start) {
  return numbers.reduce((total, number) => total + number, start);
}

/**
 * Histograms of several runs as tables for heat maps: rows of magnitudes, large ones at the top, parts of all elements.
 * @param {Array} histograms What the server answers.
 * @param {number} most How many rows at most; octaves are put together where there are more.
 */
export function byMagnitude(histograms, most) {
  const filled = histograms.filter(({counts}) => counts.length && counts[0].length);
  const low = Math.min(...filled.map(({first}) => first));
  const high = Math.max(...filled.map(({first, counts}) => first + counts[0].length));
  const size = Math.max(1, Math.ceil((high - low) / most));
  const starts = [];
  for (let start = low; start < high; start += size) starts.unshift(start);
  const isCut = filled.some((histogram) => histogram.isCut);
  return histograms.map((histogram) => ofMagnitudes(histogram, starts.filter(Number.isFinite), size, isCut));
}

function ofMagnitudes({steps, first, counts, zeros, num_steps}, starts, size, isCut) {
  const values = counts.map((row, time) => {
    const total = sum(row, zeros[time]) || 1;
    const inside = (start) => row.slice(Math.max(start - first, 0), Math.max(start - first + size, 0));
    return starts.map((start) => sum(inside(start), 0) / total);
  });
  const text = (exponent) => (2 ** exponent).toExponential(0).replace('+', '');
  const isRest = (start) => isCut && start === starts.at(-1);
  const end = (start) => text(start + size);
  const variables = starts.map((start) =>
    isRest(start) ? `less than ${end(start)}` : `${text(start)} to ${end(start)}`,
  );
  const labels = starts.map((start) => (isRest(start) ? 'less' : text(start)));
  return {variables, labels, steps, values, marks: new Map(), num_steps};
}

/** Where the logged step stands that is nearest to a step; the last where there is none. */
export function nearest(steps, step) {
  if (step === null || !steps.length) return steps.length - 1;
  let best = 0;
  steps.forEach((each, index) => {
    if (Math.abs(each - step) < Math.abs(steps[best] - step)) best = index;
  });
  return best;
}

/** Everything that is in several lists, in the order of the first in which it is. */
export function union(lists) {
  return [...new Set(lists.flat())];
}

/** Everything that is in several lists; what one of them has more stands after what it follows there. */
export function merged(lists) {
  const result = [];
  for (const list of lists) {
    let at = 0;
    for (const name of list) {
      const found = result.indexOf(name);
      if (found < 0) result.splice(at++, 0, name);
      else at = Math.max(at, found + 1);
    }
  }
  return result;
}

/** All steps of several tables, rising. */
export function allSteps(tables) {
  return union(tables.map((table) => table.steps)).sort((one, other) => one - other);
}

/** One variable over the steps. */
export function overTime(table, variable) {
  const place = table.variables.indexOf(variable);
  return table.values.map((row) => (place < 0 ? null : row[place]));
}

/** The last layer's number over the first's, by step. */
export function ratios(table) {
  return table.values.map((row) => {
    const [first, last] = [row[0], row.at(-1)];
    return row.length > 1 && first > 0 && last !== null ? last / first : null;
  });
}

/** Whether a finding is about a variable, itself or its layer. */
export function concerns(where, variable) {
  return !where.length || where.some((name) => variable === name || variable.startsWith(`${name}/`));
}
