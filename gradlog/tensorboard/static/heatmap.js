/** Heat map: one run's statistic over layers, from input to output, and steps; a uPlot chart with painted cells. */

import * as colors from './colors.js';
import {canvas, element, shown, stepText} from './dom.js';
import {axis, plot} from './plot.js';
import {nearest} from './shape.js';

const MAX_GUTTER = 110; // CSS pixels
const [ABOVE, BESIDE, BELOW] = [6, 16, 22]; // CSS pixels around the cells, for labels and steps
const MAX_LETTERS = 60; // of a layer's name, counted from its end
const MIN_MARK = 2; // CSS pixels, so that a single non-finite cell among thousands is visible
const [, MEASURING] = canvas(1, 1);

/** Describes a cell in words. */
export function cellText(run, table, time, place) {
  const mark = table.marks.get(`${time} ${place}`);
  let text = shown(table.values[time][place]);
  if (mark > 0) text += ` (${mark.toLocaleString('en-US')} elements NaN or infinite)`;
  else if (mark === 0) text = 'NaN or infinite';
  else if (table.values[time][place] === null) text = 'not logged';
  return `${run.run} · ${table.variables[place]} · step ${stepText(table.steps[time])} · ${text}`;
}

/** A panel; it is painted only when it becomes visible, since there may be dozens. */
export class Heatmap {
  /**
   * @param {Object} run
   * @param {Object} table The server's answer for the variables shown; `marks` has non-finite cells by 'time place'.
   * @param {Object} look width, isSmall, scale, step (index, or -1), layer, boxes ({has(variable), first, last}),
   *   tooltip, say(text), pick(time, place).
   */
  constructor(run, table, look) {
    const rows = table.variables.length;
    const max = look.isSmall ? [130, 4, 130] : [260, 9, 600];
    this.high = Math.min(22, Math.max(max[0] / rows, Math.min(max[1], max[2] / rows)));
    this.height = Math.ceil(rows * this.high) + ABOVE + BELOW;
    [this.run, this.table, this.look, this.step] = [run, table, look, look.step];
    this.root = element('div', {
      class: 'heatmap',
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'heat map',
      'aria-label': `${run.run}: ${rows} layers, ${table.steps.length} steps. Arrow keys move, Enter selects.`,
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
    const rows = this.table.variables.flatMap((name, row) => (box.has(name) ? [row] : []));
    const times = this.table.steps.flatMap((step, time) => (step >= box.first && step <= box.last ? [time] : []));
    if (!rows.length || !times.length) return null;
    const made = element('div', {class: 'box'});
    this.place(made, times[0], times.at(-1) + 1, rows[0], rows.at(-1) + 1);
    return made;
  }
}

function options(map) {
  const {table, look, height} = map;
  const bare = {...axis(), grid: {show: false}, ticks: {show: false}};
  const [layers, steps] = [layerTicks(map), stepTicks(map)];
  return {
    width: look.width,
    height,
    padding: [ABOVE, BESIDE, 0, 0],
    legend: {show: false},
    cursor: {show: false},
    scales: {x: {time: false, range: [0, table.steps.length]}, y: {dir: -1, range: [0, table.variables.length]}},
    axes: [
      {...bare, size: BELOW, gap: 4, ...ticks(steps, (time) => stepText(table.steps[time]))},
      {
        ...bare,
        size: gutter(layers),
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

/** The layers with a label: as many as fit; in a small panel, only the first and the last. */
function layerTicks({table, look, high}) {
  const rows = table.labels.length;
  if (look.isSmall) return [{row: 0, text: 'input'}, ...(rows > 1 ? [{row: rows - 1, text: 'output'}] : [])];
  const each = Math.ceil(12 / high);
  return table.labels.flatMap((name, row) => (row % each === 0 ? [{row, text: shortened(name)}] : []));
}

function gutter(layers) {
  return Math.ceil(Math.max(0, ...layers.map(({text}) => MEASURING.measureText(text).width))) + 10;
}

function shortened(text) {
  let end = Math.min(text.length, MAX_LETTERS);
  if (end === text.length && MEASURING.measureText(text).width <= MAX_GUTTER) return text;
  while (end > 1 && MEASURING.measureText(`…${text.slice(-end)}`).width > MAX_GUTTER) end--;
  return `…${text.slice(-end)}`;
}

function stepTicks({table, look}) {
  const last = table.steps.length - 1;
  const number = Math.min(last + 1, Math.max(2, Math.floor((look.width - MAX_GUTTER) / 60)));
  return Array.from({length: number}, (_, tick) => (number === 1 ? 0 : Math.round((tick * last) / (number - 1))));
}

function paintCells({ctx: context, bbox}, table, look) {
  const [wide, high] = [bbox.width / table.steps.length, bbox.height / table.variables.length];
  context.save();
  context.imageSmoothingEnabled = false;
  context.drawImage(cells(table, look.scale), bbox.left, bbox.top, bbox.width, bbox.height);
  const min = MIN_MARK * (window.devicePixelRatio || 1);
  for (const key of table.marks.keys()) {
    const [time, row] = key.split(' ').map(Number);
    const [x, y] = [bbox.left + time * wide, bbox.top + row * high];
    context.fillStyle = colors.NONFINITE;
    context.fillRect(Math.floor(x), Math.floor(y), Math.ceil(Math.max(wide, min)), Math.ceil(Math.max(high, min)));
    if (wide >= 5 && high >= 5) cross(context, x + wide / 2, y + high / 2, Math.min(wide, high) / 4);
  }
  context.restore();
}

const pictures = new WeakMap();

/** The cells of a table, one pixel each, on a canvas [layers, steps]; cached while the scale is the same. */
function cells(table, scale) {
  const key = JSON.stringify([scale.isFraction, scale.low, scale.high]);
  if (pictures.get(table)?.key !== key) pictures.set(table, {key, picture: points(table, scale)});
  return pictures.get(table).picture;
}

function points(table, scale) {
  const [width, height] = [table.steps.length, table.variables.length];
  const picture = element('canvas', {width, height});
  const context = picture.getContext('2d');
  const image = context.createImageData(width, height);
  const {data} = image;
  table.values.forEach((row, time) => {
    row.forEach((value, place) => {
      if (value === null) return;
      const at = 4 * (place * width + time);
      [data[at], data[at + 1], data[at + 2]] = scale.color(value);
      data[at + 3] = 255;
    });
  });
  context.putImageData(image, 0, 0);
  return picture;
}

function cross(context, x, y, size) {
  context.strokeStyle = '#ffffff';
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x - size, y - size);
  context.lineTo(x + size, y + size);
  context.moveTo(x - size, y + size);
  context.lineTo(x + size, y - size);
  context.stroke();
}

let cursor = null; // {of, step, layer}: the keyboard's cell in a panel, kept when the panel is redrawn

function listen({root, chart: {over}, run, table, look, step}) {
  let [time, row] = [Math.max(step, 0), Math.max(table.variables.indexOf(look.layer), 0)];
  const [times, rows] = [table.steps.length, table.variables.length];
  const of = `${run.run} ${table.statistic ?? 'histograms'}`;
  if (cursor?.of === of && table.variables.includes(cursor.layer)) {
    [time, row] = [nearest(table.steps, cursor.step), table.variables.indexOf(cursor.layer)];
  }
  const exists = () => time in table.steps && row in table.variables;
  const move = (event) => {
    const box = over.getBoundingClientRect();
    time = Math.floor((times * (event.clientX - box.left)) / box.width);
    row = Math.floor((rows * (event.clientY - box.top)) / box.height);
    if (exists()) look.tooltip.show(cellText(run, table, time, row), event.clientX, event.clientY);
    else look.tooltip.hide();
  };
  over.addEventListener('mousemove', move);
  over.addEventListener('mouseleave', () => look.tooltip.hide());
  root.addEventListener('blur', () => look.tooltip.hide());
  over.addEventListener('click', (event) => {
    move(event);
    if (exists()) look.pick(time, row);
  });
  root.addEventListener('keydown', (event) => {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (event.key === 'Enter' && exists()) look.pick(time, row);
    if (!moves) return;
    event.preventDefault();
    time = Math.min(Math.max(time + moves[0], 0), times - 1);
    row = Math.min(Math.max(row + moves[1], 0), rows - 1);
    cursor = {of, step: table.steps[time], layer: table.variables[row]};
    const text = cellText(run, table, time, row);
    const box = over.getBoundingClientRect();
    look.tooltip.show(text, box.left + ((time + 0.5) * box.width) / times, box.top + ((row + 0.5) * box.height) / rows);
    look.say(text);
  });
}
