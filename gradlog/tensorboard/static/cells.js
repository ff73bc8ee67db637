/** Cells: the picture of a heat map's table, on canvas. */

import * as colors from './colors.js';
import {element} from './dom.js';

const MIN_MARK = 2; // CSS pixels, so that a single non-finite cell among thousands is visible

/** Paints a table into a chart. */
export function paintCells({ctx: context, bbox}, table, look) {
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
