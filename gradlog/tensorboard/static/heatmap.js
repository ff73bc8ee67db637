/** Heat map: one run's statistic, layers from input to output, over the steps. */

import * as colors from './colors.js';
import {canvas, element, shown, stepText} from './dom.js';

const WIDEST_GUTTER = 110;
const BELOW = 20;
const LONGEST = 60; // letters of a layer's name, from its end
const LEAST_MARK = 2; // points, so that one cell that is not finite is seen in a picture of thousands

/** How a panel says a cell. */
export function cellText(run, table, time, place) {
  const mark = table.marks.get(`${time} ${place}`);
  let text = shown(table.values[time][place]);
  if (mark > 0) text += ` (${mark.toLocaleString('en-US')} elements NaN or infinite)`;
  else if (mark === 0) text = 'NaN or infinite';
  else if (table.values[time][place] === null) text = 'no number';
  return `${run.run} · ${table.variables[place]} · step ${stepText(table.steps[time])} · ${text}`;
}

/** A panel; it is painted once it is seen, for there may be dozens. */
export class Heatmap {
  /**
   * @param {Object} run
   * @param {Object} table What the server answers, of the variables shown, with `marks`, the non-finite by 'time place'.
   * @param {Object} look width, isSmall, scale, step (index, or -1), layer, boxes ({has(variable), first, last}),
   *   tooltip, say(text), pick(time, place).
   */
  constructor(run, table, look) {
    const rows = table.variables.length;
    const most = look.isSmall ? [130, 4, 130] : [260, 9, 600];
    this.high = Math.min(22, Math.max(most[0] / rows, Math.min(most[1], most[2] / rows)));
    this.height = Math.ceil(rows * this.high);
    [this.run, this.table, this.look, this.step] = [run, table, look, look.step];
    [this.drawing, this.context] = canvas(look.width, this.height + BELOW, {
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'heat map',
      'aria-label': `Heat map of ${run.run}: ${rows} layers, ${table.steps.length} steps. Arrow keys move, Enter picks.`,
    });
    this.gutter = this.gutterWidth();
    this.wide = (look.width - this.gutter) / Math.max(table.steps.length, 1);
    this.drawing.dataset.gutter = this.gutter;
    listen(this);
  }

  gutterWidth() {
    const names = this.look.isSmall ? ['output'] : this.table.labels;
    const widest = Math.max(0, ...names.map((name) => this.context.measureText(name.slice(-LONGEST)).width));
    return Math.min(WIDEST_GUTTER, Math.ceil(widest) + 10);
  }

  /** Paints it, if it is not yet. */
  paint() {
    if (this.picture) return;
    this.picture = this.painted();
    this.show();
  }

  /** Moves the frame around a step to that of an index; -1 for none. */
  move(step) {
    this.step = step;
    if (this.picture) this.show();
  }

  /** What does not move with the step. */
  painted() {
    const {table, look, gutter, height} = this;
    const [picture, context] = canvas(look.width, height + BELOW);
    context.fillStyle = colors.paper();
    context.fillRect(0, 0, look.width, height + BELOW);
    context.imageSmoothingEnabled = false;
    if (table.steps.length) context.drawImage(cells(table, look.scale), gutter, 0, look.width - gutter, height);
    this.drawMarks(context);
    this.drawLayers(context);
    this.drawSteps(context);
    this.drawBoxes(context);
    return picture;
  }

  show() {
    const {context, look, gutter, wide, height} = this;
    context.drawImage(this.picture, 0, 0, look.width, height + BELOW);
    if (this.step < 0) return;
    for (const [color, thick] of [
      ['#000000', 3],
      ['#ffffff', 1],
    ]) {
      context.strokeStyle = color;
      context.lineWidth = thick;
      context.strokeRect(gutter + this.step * wide + 0.5, 1.5, Math.max(wide, 3) - 1, height - 3);
    }
  }

  drawMarks(context) {
    const {gutter, wide, high} = this;
    const [width, height] = [Math.max(wide, LEAST_MARK), Math.max(high, LEAST_MARK)];
    for (const key of this.table.marks.keys()) {
      const [time, row] = key.split(' ').map(Number);
      const [x, y] = [gutter + time * wide, row * high];
      context.fillStyle = colors.NONFINITE;
      context.fillRect(Math.floor(x), Math.floor(y), Math.ceil(width), Math.ceil(height));
      if (wide >= 5 && high >= 5) cross(context, x + wide / 2, y + high / 2, Math.min(wide, high) / 4);
    }
  }

  drawLayers(context) {
    const {table, look, gutter, high, height} = this;
    context.fillStyle = colors.ink();
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    if (look.isSmall) {
      context.fillText('input', gutter - 6, 7);
      context.fillText('output', gutter - 6, height - 7);
      return;
    }
    const each = Math.ceil(12 / high);
    table.labels.forEach((name, row) => {
      const y = Math.max(6, (row + 0.5) * high);
      if (row % each === 0) context.fillText(shortened(context, name, gutter - 8), gutter - 6, y);
    });
  }

  drawSteps(context) {
    const {table, look, gutter, wide, height} = this;
    const last = table.steps.length - 1;
    context.textBaseline = 'top';
    const number = Math.min(last + 1, Math.max(2, Math.floor((look.width - gutter) / 70)));
    for (let tick = 0; tick < number; tick++) {
      const time = number === 1 ? 0 : Math.round((tick * last) / (number - 1));
      context.textAlign = tick === 0 ? 'left' : tick === number - 1 ? 'right' : 'center';
      const part = tick === 0 ? 0 : tick === number - 1 ? 1 : 0.5;
      context.fillText(stepText(table.steps[time]), gutter + (time + part) * wide, height + 5);
    }
  }

  drawBoxes(context) {
    const {table, look, gutter, wide, high} = this;
    for (const box of look.boxes) {
      const places = table.variables.flatMap((name, row) => (box.has(name) ? [row] : []));
      const times = table.steps.flatMap((step, time) => (step >= box.first && step <= box.last ? [time] : []));
      if (!places.length || !times.length) continue;
      context.strokeStyle = '#e8710a';
      context.lineWidth = 3;
      const [top, left] = [places[0] * high, gutter + times[0] * wide];
      const [bottom, right] = [(places.at(-1) + 1) * high, gutter + (times.at(-1) + 1) * wide];
      context.strokeRect(left + 1.5, top + 1.5, Math.max(right - left - 3, 1), Math.max(bottom - top - 3, 1));
    }
  }
}

const pictures = new WeakMap();

/** The cells of a table, a point each, on a canvas [layers, steps]; kept for as long as the scale is the same. */
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

function shortened(context, text, width) {
  let end = Math.min(text.length, LONGEST);
  if (end === text.length && context.measureText(text).width <= width) return text;
  while (end > 1 && context.measureText(`…${text.slice(-end)}`).width > width) end--;
  return `…${text.slice(-end)}`;
}

function listen({drawing, run, table, look, high, wide, gutter, step}) {
  let [time, row] = [Math.max(step, 0), Math.max(table.variables.indexOf(look.layer), 0)];
  const exists = () => time in table.steps && row in table.variables;
  const move = (event) => {
    time = Math.floor((event.offsetX - gutter) / wide);
    row = Math.floor(event.offsetY / high);
    if (exists()) look.tooltip.show(cellText(run, table, time, row), event.clientX, event.clientY);
    else look.tooltip.hide();
  };
  drawing.addEventListener('mousemove', move);
  drawing.addEventListener('mouseleave', () => look.tooltip.hide());
  drawing.addEventListener('blur', () => look.tooltip.hide());
  drawing.addEventListener('click', (event) => {
    move(event);
    if (exists()) look.pick(time, row);
  });
  drawing.addEventListener('keydown', (event) => {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (event.key === 'Enter' && exists()) look.pick(time, row);
    if (!moves) return;
    event.preventDefault();
    time = Math.min(Math.max(time + moves[0], 0), table.steps.length - 1);
    row = Math.min(Math.max(row + moves[1], 0), table.variables.length - 1);
    const text = cellText(run, table, time, row);
    const box = drawing.getBoundingClientRect();
    look.tooltip.show(text, box.left + gutter + (time + 0.5) * wide, box.top + (row + 0.5) * high);
    look.say(text);
  });
}
