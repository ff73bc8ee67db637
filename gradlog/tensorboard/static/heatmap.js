/** Heat map: one run's statistic, layers from input to output, over the steps. */

import * as colors from './colors.js';
import {canvas, shown, stepText} from './dom.js';

const WIDEST_GUTTER = 110;
const BELOW = 20;

/** How a panel says a cell. */
export function cellText(run, table, time, place) {
  const mark = table.marks.get(`${time} ${place}`);
  let text = shown(table.values[time][place]);
  if (mark > 0) text += ` (${mark.toLocaleString('en-US')} elements NaN or infinite)`;
  else if (mark === 0) text = 'NaN or infinite';
  else if (table.values[time][place] === null) text = 'no number';
  return `${run.run} · ${table.variables[place]} · step ${stepText(table.steps[time])} · ${text}`;
}

/**
 * Draws a panel.
 * @param {Object} run
 * @param {Object} table What the server answers, of the variables shown, with `marks`, the non-finite by 'time place'.
 * @param {Object} look width, scale, step (index, or -1), layer, boxes ({has(variable), first, last}), tooltip,
 *   say(text), pick(time, place).
 */
export function heatmap(run, table, look) {
  const rows = Math.max(table.variables.length, 1);
  const height = Math.max(2, Math.min(22, Math.max(260 / rows, Math.min(9, 600 / rows))));
  const [drawing, context] = canvas(look.width, rows * height + BELOW, {
    tabindex: 0,
    role: 'application',
    'aria-roledescription': 'heat map',
    'aria-label': `Heat map of ${run.run}: ${rows} layers, ${table.steps.length} steps. Arrow keys move, Enter picks.`,
  });
  const gutter = gutterOf(context, table);
  drawing.dataset.gutter = gutter;
  const wide = (look.width - gutter) / Math.max(table.steps.length, 1);
  const place = {rows, height, wide, gutter};
  draw(context, table, look, place);
  listen(drawing, run, table, look, place);
  return drawing;
}

function gutterOf(context, table) {
  const widest = Math.max(0, ...table.labels.map((name) => context.measureText(name).width));
  return Math.min(WIDEST_GUTTER, Math.ceil(widest) + 10);
}

function draw(context, table, look, place) {
  const full = [0, 0, look.width, place.rows * place.height + BELOW];
  context.drawImage(cells(table, look, place), ...full);
  outline(context, table, look, place);
}

const drawn = new WeakMap();

/** The picture of a table without what moves with the step; it is kept, since thousands of cells take their time. */
function cells(table, look, place) {
  const key = JSON.stringify([look.width, look.scale.low, look.scale.high, colors.isDark(), window.devicePixelRatio]);
  if (drawn.get(table)?.key !== key) drawn.set(table, {key, picture: cellPicture(table, look, place)});
  return drawn.get(table).picture;
}

function cellPicture(table, look, {rows, height, wide, gutter}) {
  const [picture, context] = canvas(look.width, rows * height + BELOW);
  context.fillStyle = colors.paper();
  context.fillRect(0, 0, look.width, rows * height + BELOW);
  table.steps.forEach((_, time) => {
    for (let row = 0; row < table.variables.length; row++) {
      const [left, top] = [Math.round(gutter + time * wide), Math.round(row * height)];
      const [right, bottom] = [Math.round(gutter + (time + 1) * wide), Math.round((row + 1) * height)];
      drawCell(context, table, look, time, row, [left, top, Math.max(right - left, 1), bottom - top]);
    }
  });
  label(context, table, look, {rows, height, wide, gutter});
  return picture;
}

function drawCell(context, table, look, time, row, [x, y, width, height]) {
  const value = table.values[time][row];
  const isMarked = table.marks.has(`${time} ${row}`);
  if (value === null && !isMarked) return;
  context.fillStyle = isMarked ? colors.NONFINITE : look.scale.color(value);
  context.fillRect(x, y, width, height);
  if (!isMarked || width < 5) return;
  context.strokeStyle = '#ffffff';
  context.lineWidth = 1.5;
  const [middle, center, size] = [x + width / 2, y + height / 2, Math.min(width, height) / 4];
  context.beginPath();
  context.moveTo(middle - size, center - size);
  context.lineTo(middle + size, center + size);
  context.moveTo(middle - size, center + size);
  context.lineTo(middle + size, center - size);
  context.stroke();
}

function label(context, table, look, {rows, height, wide, gutter}) {
  context.fillStyle = colors.ink();
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  const each = Math.ceil(12 / height);
  table.labels.forEach((name, row) => {
    if (row % each === 0)
      context.fillText(shortened(context, name, gutter - 8), gutter - 6, Math.max(6, (row + 0.5) * height));
  });
  context.textBaseline = 'top';
  const number = Math.min(table.steps.length, Math.max(2, Math.floor((look.width - gutter) / 70)));
  for (let tick = 0; tick < number; tick++) {
    const time = number === 1 ? 0 : Math.round((tick * (table.steps.length - 1)) / (number - 1));
    context.textAlign = tick === 0 ? 'left' : tick === number - 1 ? 'right' : 'center';
    const part = tick === 0 ? 0 : tick === number - 1 ? 1 : 0.5;
    context.fillText(stepText(table.steps[time]), gutter + (time + part) * wide, rows * height + 5);
  }
}

function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`…${text.slice(-end)}`).width > width) end--;
  return `…${text.slice(-end)}`;
}

function outline(context, table, look, {rows, height, wide, gutter}) {
  for (const box of look.boxes) {
    const places = table.variables.flatMap((name, row) => (box.has(name) ? [row] : []));
    const times = table.steps.flatMap((step, time) => (step >= box.first && step <= box.last ? [time] : []));
    if (!places.length || !times.length) continue;
    context.strokeStyle = '#e8710a';
    context.lineWidth = 3;
    const [top, left] = [places[0] * height, gutter + times[0] * wide];
    const [bottom, right] = [(places.at(-1) + 1) * height, gutter + (times.at(-1) + 1) * wide];
    context.strokeRect(left + 1.5, top + 1.5, right - left - 3, bottom - top - 3);
  }
  if (look.step < 0) return;
  for (const [color, thick] of [
    ['#000000', 3],
    ['#ffffff', 1],
  ]) {
    context.strokeStyle = color;
    context.lineWidth = thick;
    context.strokeRect(gutter + look.step * wide + 0.5, 1.5, Math.max(wide, 3) - 1, rows * height - 3);
  }
}

function listen(drawing, run, table, look, {height, wide, gutter}) {
  let [time, row] = [Math.max(look.step, 0), Math.max(table.variables.indexOf(look.layer), 0)];
  const exists = () => time in table.steps && row in table.variables;
  const move = (event) => {
    time = Math.floor((event.offsetX - gutter) / wide);
    row = Math.floor(event.offsetY / height);
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
    look.tooltip.show(text, box.left + gutter + (time + 0.5) * wide, box.top + (row + 0.5) * height);
    look.say(text);
  });
}

/** The colours of the numbers, and what the other colours mean. */
export function legend(scale, name, withOthers = true) {
  const [drawing, context] = canvas(560, 34, {role: 'img', 'aria-label': `Colours of ${name}, from little to much`});
  context.fillStyle = colors.paper();
  context.fillRect(0, 0, 560, 34);
  for (let x = 0; x < 260; x++) {
    context.fillStyle = colors.shade(x / 259);
    context.fillRect(4 + x, 2, 1.5, 12);
  }
  context.fillStyle = colors.ink();
  context.textBaseline = 'top';
  for (const [part, align] of [
    [0, 'left'],
    [0.5, 'center'],
    [1, 'right'],
  ]) {
    context.textAlign = align;
    context.fillText(shown(scale.at(part)), 4 + 260 * part, 18);
  }
  context.textAlign = 'left';
  if (!withOthers) return drawing;
  const others = [[colors.NONFINITE, 'NaN or infinite'], ...(scale.isFraction ? [] : [[colors.ZERO, 'zero']])];
  others.forEach(([color, text], index) => {
    context.fillStyle = color;
    context.fillRect(284 + index * 120, 2, 12, 12);
    context.fillStyle = colors.ink();
    context.fillText(text, 302 + index * 120, 3);
  });
  return drawing;
}
