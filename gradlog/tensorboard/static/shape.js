/** Shape: brings the server's answers into the form that the charts need; pure functions of data. */

/** A run's table with one part of its variables, or all; with `labels` and the non-finite cells as `marks`. */
export function ofPart(table, part) {
  const isPart = Object.hasOwn(table.parts, part);
  const places = isPart ? table.parts[part] : table.variables.map((_, place) => place);
  const isHere = new Map(places.map((place, index) => [place, index]));
  const marks = new Map();
  for (const [time, place, count] of table.nonfinite) {
    if (isHere.has(place)) marks.set(`${time} ${isHere.get(place)}`, count);
  }
  const variables = places.map((place) => table.variables[place]);
  const short = new Map(Object.entries(table.short_names));
  const tree = {...table.tree, places: pick(table.tree.places, places), inner: pick(table.tree.inner, places)};
  const heads = variables.map((_, row) => headOf(tree, row));
  const plain = isPart ? variables.map((name) => short.get(name) ?? name) : variables;
  return {
    ...table,
    variables,
    short,
    tree,
    heads,
    labels: tree.blocks.length ? heads.map((head, row) => head + tree.inner[row]) : plain,
    values: table.values.map((row) => places.map((place) => row[place])),
    marks,
  };
}

function pick(list, places) {
  return list.length ? places.map((place) => list[place]) : [];
}

/** What the label of a row begins with: its block. */
function headOf({blocks, places, inner}, row) {
  const block = blocks[places[row] ?? -1];
  if (!block) return '';
  return inner[row] ? `${block.short} · ` : block.title;
}

/** A variable by its name, or else one with the same short name: statistics of activations are listed by layer. */
export function sameLayer(variables, name, short) {
  const shortOf = (each) => short.get(each) ?? each;
  return variables.includes(name) ? name : variables.find((each) => shortOf(each) === shortOf(name));
}

/**
 * Merges the rare smallest magnitudes of several runs' histograms, which would fill most of a picture.
 * @param {Array} histograms The server's answers.
 * @param {number} part Fraction of a step's elements that may be merged.
 * @returns The histograms; in those with `isCut`, the first count includes everything smaller.
 */
export function withoutTail(histograms, part) {
  const ends = histograms.flatMap(({first, counts, zeros}) =>
    counts.flatMap((row, time) => (row.length ? [first + tailOf(row, part * sum(row, zeros[time]))] : [])),
  );
  const first = Math.min(...new Set(ends)); // octaves, of which there are few
  return histograms.map((histogram) => {
    const number = first - histogram.first;
    if (!(number > 0) || !Number.isFinite(number)) return histogram;
    const counts = histogram.counts.map((row) => [sum(row.slice(0, number + 1), 0), ...row.slice(number + 1)]);
    return {...histogram, first, counts, isCut: true};
  });
}

/** How many of the first counts add up to at most so many elements. */
function tailOf(row, max) {
  let [number, elements] = [0, 0];
  while (number < row.length - 1 && (elements += row[number]) <= max) number++;
  return number;
}

function sum(numbers, start) {
  return numbers.reduce((total, number) => total + number, start);
}

/**
 * Turns histograms of several runs into tables for heat maps: fractions of elements by magnitude, largest at the top.
 * @param {Array} histograms The server's answers.
 * @param {number} maxRows How many rows at most; octaves are merged to keep to it.
 */
export function byMagnitude(histograms, maxRows) {
  const filled = histograms.filter(({counts}) => counts.length && counts[0].length);
  const low = Math.min(...filled.map(({first}) => first));
  const high = Math.max(...filled.map(({first, counts}) => first + counts[0].length));
  const size = Math.max(1, Math.ceil((high - low) / maxRows));
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

/** The index of the logged step nearest to a step; of the last one if the step is null. */
export function nearest(steps, step) {
  if (step === null || !steps.length) return steps.length - 1;
  let best = 0;
  steps.forEach((each, index) => {
    if (Math.abs(each - step) < Math.abs(steps[best] - step)) best = index;
  });
  return best;
}

/** All items of several lists, without duplicates, in order of appearance. */
export function union(lists) {
  return [...new Set(lists.flat())];
}

/** All items of several lists; an item that only some lists have follows its predecessor there. */
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

/** All steps of several tables, in ascending order. */
export function allSteps(tables) {
  return union(tables.map((table) => table.steps)).sort((one, other) => one - other);
}

/** One variable over the steps. */
export function overTime(table, variable) {
  const place = table.variables.indexOf(variable);
  return table.values.map((row) => (place < 0 ? null : row[place]));
}

/** The last layer's value over the first's, by step. */
export function ratios(table) {
  return table.values.map((row) => {
    const [first, last] = [row[0], row.at(-1)];
    return row.length > 1 && first > 0 && last !== null ? last / first : null;
  });
}

/** Whether a finding is about a variable or its layer; a layer's path starts those of its variables. */
export function concerns(where, variable) {
  return !where.length || where.some((name) => variable === name || variable.startsWith(`${name}/`));
}
