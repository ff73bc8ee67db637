/** Heat map: one run's statistic over layers, from input to output, and steps; a uPlot chart with painted cells. */

import {paintCells} from './cells.js';
import {element, shown, stepText} from './dom.js';
import {axis, plot} from './plot.js';
import {nearest} from './shape.js';
import {gutter, layerTicks, LINE, stepTicks} from './ticks.js';

const MARKER = 14; // CSS pixels beside the names, for what folds a block
const [ABOVE, BESIDE, BELOW] = [6, 16, 22]; // CSS pixels around the cells, for labels and steps

/** Describes a cell in words. */
export function cellText(run, table, time, place) {
  const mark = table.marks.get(`${time} ${place}`);
  let text = shown(table.values[time][place]);
  if (mark > 0) text += ` (${mark.toLocaleString('en-US')} elements NaN or infinite)`;
  else if (mark === 0) text = 'NaN or infinite';
  else if (table.values[time][place] === null) text = 'not logged';
  const name = table.says?.[place] ?? table.variables[place];
  return `${run.run} · ${name} · step ${stepText(table.steps[time])} · ${text}`;
}

/** A panel; it is painted only when it becomes visible, since there may be dozens. */
export class Heatmap {
  /**
   * @param {Object} run
   * @param {Object} table The server's answer for the variables shown; `marks` has non-finite cells by 'time place'.
   * @param {Object} look width, isSmall, scale, step (index, or -1), layer, boxes ({has(variable), first, last}),
   *   tooltip, say(text), pick(time, place), turn(key) of a block; for cells that are no steps, text(time, place) and
   *   columns (their labels).
   */
  constructor(run, table, look) {
    const rows = table.variables.length;
    const max = look.isSmall ? [130, 4, 130] : table.spans ? [260, LINE, 1200] : [260, 9, 600];
    this.high = Math.min(22, Math.max(max[0] / rows, Math.min(max[1], max[2] / rows)));
    this.height = Math.ceil(rows * this.high) + ABOVE + BELOW;
    [this.run, this.table, this.look, this.step] = [run, table, look, look.step];
    this.root = element('div', {
      class: 'heatmap',
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'heat map',
      'aria-label': described(run, table, look),
    });
    this.root.style.height = `${this.height}px`;
    this.frame = element('div', {class: 'frame', hidden: true});
  }

  /** Paints the panel unless it is painted already. */
  paint() {
    if (this.chart) return;
    this.chart = plot(
      options(this),
      [
        [0, 1],
        [null, null],
      ],
      this.root,
    );
    if (!this.look.isSmall) this.chart.over.append(...(this.table.spans ?? []).map((span) => this.marker(span)));
    this.chart.over.append(...this.look.boxes.map((box) => this.boxed(box)).filter(Boolean), this.frame);
    this.move(this.step);
    listen(this);
  }

  /** Moves the frame to the step at an index; -1 for none. */
  move(step) {
    this.step = step;
    this.frame.hidden = step < 0;
    this.place(this.frame, step, step + 1, 0, this.table.variables.length);
  }

  /** Places an element over cells, from the first to the one before the end. */
  place(over, firstTime, endTime, firstRow, endRow) {
    const [times, rows] = [this.table.steps.length, this.table.variables.length];
    over.style.left = `${(100 * firstTime) / times}%`;
    over.style.width = `${(100 * (endTime - firstTime)) / times}%`;
    over.style.top = `${(100 * firstRow) / rows}%`;
    over.style.height = `${(100 * (endRow - firstRow)) / rows}%`;
  }

  /** An element that frames the cells of a finding. */
  boxed(box) {
    const {variables, members} = this.table;
    const isIn = (name, row) => (members?.[row] ?? [name]).some(box.has);
    const rows = variables.flatMap((name, row) => (isIn(name, row) ? [row] : []));
    const times = this.table.steps.flatMap((step, time) => (step >= box.first && step <= box.last ? [time] : []));
    if (!rows.length || !times.length) return null;
    const made = element('div', {class: 'box'});
    this.place(made, times[0], times.at(-1) + 1, rows[0], rows.at(-1) + 1);
    return made;
  }

  /** What folds and unfolds a block, beside the names of its rows; the keyboard does so in the map itself. */
  marker({block, isFolded, first, end}) {
    const made = element('div', {
      class: isFolded ? 'marker' : 'marker open',
      'data-block': block.key,
      'aria-hidden': 'true',
      title: `${isFolded ? 'Unfold' : 'Fold'} ${block.title}`,
      text: isFolded ? '▸' : '▾',
      click: () => this.look.turn(block.key),
    });
    const rows = this.table.variables.length;
    Object.assign(made.style, {top: `${(100 * first) / rows}%`, height: `${(100 * (end - first)) / rows}%`});
    made.style.left = `${-this.gutter}px`;
    made.style.width = `${this.gutter}px`;
    return made;
  }

  /** The span of a block that a row is in; undefined for others. */
  spanOf(row) {
    return this.table.spans?.find(({first, end}) => row >= first && row < end);
  }
}

function described(run, table, look) {
  const [rows, columns] = [table.variables.length, table.steps.length];
  if (look.columns) return `${run.run}: ${rows} layers, ${columns} heads. Arrow keys move.`;
  const keys = table.spans ? 'Enter selects or unfolds, Space folds and unfolds' : 'Enter selects';
  return `${run.run}: ${rows} ${table.spans ? 'rows' : 'layers'}, ${columns} steps. Arrow keys move, ${keys}.`;
}

function options(map) {
  const {table, look, height} = map;
  const bare = {...axis(), grid: {show: false}, ticks: {show: false}};
  const [layers, steps] = [layerTicks(map), stepTicks(map)];
  map.gutter = gutter(layers) + (table.spans && !look.isSmall ? MARKER : 0);
  return {
    width: look.width,
    height,
    padding: [ABOVE, BESIDE, 0, 0],
    legend: {show: false},
    cursor: {show: false},
    scales: {x: {time: false, range: [0, table.steps.length]}, y: {dir: -1, range: [0, table.variables.length]}},
    axes: [
      {...bare, size: BELOW, gap: 4, ...ticks(steps, (time) => look.columns?.[time] ?? stepText(table.steps[time]))},
      {
        ...bare,
        size: map.gutter,
        gap: 6,
        ...ticks(
          layers.map(({row}) => row),
          (_, index) => layers[index].text,
        ),
      },
    ],
    series: [{}, {show: false}],
    hooks: {drawAxes: [(chart) => paintCells(chart, table, look)]},
  };
}

/** Ticks in the middle of cells, each with a text. */
function ticks(places, text) {
  const [splits, values] = [places.map((place) => place + 0.5), places.map(text)];
  return {splits: () => splits, values: () => values};
}

let cursor = null; // {of, step, layer}: the keyboard's cell in a panel, kept when the panel is redrawn

function listen(map) {
  const {root, chart: {over}, run, table, look, step} = map;
  let [time, row] = [Math.max(step, 0), Math.max(table.variables.indexOf(look.layer), 0)];
  const [times, rows] = [table.steps.length, table.variables.length];
  const of = `${run.run} ${table.statistic ?? 'histograms'}`;
  if (cursor?.of === of && table.variables.includes(cursor.layer)) {
    [time, row] = [nearest(table.steps, cursor.step), table.variables.indexOf(cursor.layer)];
  }
  const exists = () => time in table.steps && row in table.variables;
  const text = () => (look.text ?? ((...cell) => cellText(run, table, ...cell)))(time, row);
  const turn = (span) => {
    const layer = span.isFolded ? table.members[span.first][0] : span.block.key;
    cursor = {of, step: table.steps[time], layer};
    look.turn(span.block.key);
  };
  const choose = () => {
    const span = map.spanOf(row);
    if (span?.isFolded) turn(span);
    else look.pick(time, row);
  };
  const move = (event) => {
    const box = over.getBoundingClientRect();
    time = Math.floor((times * (event.clientX - box.left)) / box.width);
    row = Math.floor((rows * (event.clientY - box.top)) / box.height);
    if (exists()) look.tooltip.show(text(), event.clientX, event.clientY);
    else look.tooltip.hide();
  };
  over.addEventListener('mousemove', move);
  over.addEventListener('mouseleave', () => look.tooltip.hide());
  root.addEventListener('blur', () => look.tooltip.hide());
  over.addEventListener('click', (event) => {
    if (event.target !== over) return;
    move(event);
    if (exists()) choose();
  });
  root.addEventListener('keydown', (event) => {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (event.key === 'Enter' && exists()) choose();
    if (event.key === ' ' && map.spanOf(row)) turn(map.spanOf(row));
    if (!moves && event.key !== ' ') return;
    event.preventDefault();
    if (!moves) return;
    time = Math.min(Math.max(time + moves[0], 0), times - 1);
    row = Math.min(Math.max(row + moves[1], 0), rows - 1);
    cursor = {of, step: table.steps[time], layer: table.variables[row]};
    const box = over.getBoundingClientRect();
    look.tooltip.show(text(), box.left + ((time + 0.5) * box.width) / times, box.top + ((row + 0.5) * box.height) / rows);
    look.say(text());
  });
}
