/** Ticks: which rows and columns of a heat map have a label, and how much of it fits. */

import {canvas} from './dom.js';

export const LINE = 12; // CSS pixels that a label takes
const [MAX_GUTTER, MAX_GUTTER_OF_BLOCKS] = [110, 215]; // CSS pixels
const MAX_LETTERS = 60; // of a layer's name, counted from its end
const [, MEASURING] = canvas(1, 1);

/** The layers with a label: as many as fit; in a small panel, only the first and the last. */
export function layerTicks({table, look, high}) {
  const rows = table.labels.length;
  if (look.isSmall) return [{row: 0, text: 'input'}, ...(rows > 1 ? [{row: rows - 1, text: 'output'}] : [])];
  const each = Math.ceil(LINE / high);
  if (table.spans) return ticksOfBlocks(table, high, each);
  return table.labels.flatMap((name, row) => (row % each === 0 ? [{row, text: shortened(name)}] : []));
}

/** As many labels as fit, the first row of each block before others; a block that has one label alone has its title. */
function ticksOfBlocks({labels, heads, spans}, high, each) {
  const bySpan = new Map(spans.map((span) => [span.first, span]));
  const starts = [...new Set([0, ...spans.flatMap(({first, end}) => [first, end])])].sort((one, other) => one - other);
  const [result, fits] = [[], (row, other) => (other - row) * high >= LINE];
  let last = -Infinity;
  starts.forEach((start, index) => {
    const next = starts[index + 1] ?? labels.length;
    for (let row = start; row < next; row += each) {
      if (!fits(last, row) || (row !== start && !fits(row, next))) continue;
      const isAlone = row === start && bySpan.has(start) && !fits(start + each, next);
      const text = shortened(labels[row], heads[row], MAX_GUTTER_OF_BLOCKS);
      result.push({row, text: isAlone ? bySpan.get(start).block.title : text});
      last = row;
    }
  });
  return result;
}

/** How wide labels are. */
export function gutter(layers) {
  return Math.ceil(Math.max(0, ...layers.map(({text}) => MEASURING.measureText(text).width))) + 10;
}

/** A text cut to a width: its end, behind a head that is never cut. */
function shortened(text, head = '', width = MAX_GUTTER) {
  let end = Math.min(text.length - head.length, MAX_LETTERS);
  if (end === text.length - head.length && MEASURING.measureText(text).width <= width) return text;
  while (end > 1 && MEASURING.measureText(`${head}…${text.slice(-end)}`).width > width) end--;
  return `${head}…${text.slice(-end)}`;
}

/** The columns with a label, as many as fit. */
export function stepTicks({table, look}) {
  const last = table.steps.length - 1;
  const number = Math.min(last + 1, Math.max(2, Math.floor((look.width - MAX_GUTTER) / 60)));
  return Array.from({length: number}, (_, tick) => (number === 1 ? 0 : Math.round((tick * last) / (number - 1))));
}
