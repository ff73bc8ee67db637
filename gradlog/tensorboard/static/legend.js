/** Legend: the colour scale, and what the other colours mean. */

import * as colors from './colors.js';
import {canvas, shown} from './dom.js';

const [WIDTH, HEIGHT, BAR] = [560, 34, 260]; // of the whole legend, and of the colour bar

/**
 * Draws the legend.
 * @param {Scale} scale
 * @param {string} name What the numbers mean.
 * @param {boolean} withOthers Whether zeros and non-finite numbers can occur.
 */
export function legend(scale, name, withOthers = true) {
  const [drawing, context] = canvas(WIDTH, HEIGHT, {
    role: 'img',
    'aria-label': `Colour scale of ${name}, from low to high`,
  });
  context.fillStyle = colors.paper();
  context.fillRect(0, 0, WIDTH, HEIGHT);
  for (let x = 0; x < BAR; x++) {
    context.fillStyle = `rgb(${colors.shade(x / (BAR - 1))})`;
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
    context.fillText(shown(scale.at(part)), 4 + BAR * part, 18);
  }
  if (withOthers) drawOthers(context, scale);
  return drawing;
}

function drawOthers(context, scale) {
  context.textAlign = 'left';
  const others = [[colors.NONFINITE, 'NaN or infinite'], ...(scale.isFraction ? [] : [[colors.ZERO, 'zero']])];
  others.forEach(([color, text], index) => {
    context.fillStyle = color;
    context.fillRect(284 + index * 120, 2, 12, 12);
    context.fillStyle = colors.ink();
    context.fillText(text, 302 + index * 120, 3);
  });
}
