/** Download: saves what a section shows, as a table or as a picture. */

import {ink, paper} from './colors.js';
import {element} from './dom.js';
import {paintNow} from './panels.js';

function save(blob, name) {
  const link = element('a', {href: URL.createObjectURL(blob), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function field(value) {
  const text = value === null || value === undefined ? '' : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Saves rows as CSV; the first row has the column names. */
export function saveCsv(rows, name) {
  save(
    new Blob([rows.map((row) => row.map(field).join(',')).join('\r\n') + '\r\n'], {type: 'text/csv'}),
    `${name}.csv`,
  );
}

/** Saves the pictures of a section as they are, with their captions. */
export async function savePng(section, name) {
  for (const panel of section.querySelectorAll('.heatmap')) paintNow(panel);
  await new Promise(requestAnimationFrame); // charts are drawn a moment later
  const ratio = window.devicePixelRatio || 1;
  const whole = section.getBoundingClientRect();
  const sheet = element('canvas', {width: Math.ceil(whole.width * ratio), height: Math.ceil(whole.height * ratio)});
  const context = sheet.getContext('2d');
  context.scale(ratio, ratio);
  context.fillStyle = paper();
  context.fillRect(0, 0, whole.width, whole.height);
  for (const drawing of section.querySelectorAll('canvas')) {
    const box = drawing.getBoundingClientRect();
    context.drawImage(drawing, box.left - whole.left, box.top - whole.top, box.width, box.height);
  }
  for (const spot of section.querySelectorAll('.swatch, .mark, .u-marker')) {
    const box = spot.getBoundingClientRect();
    const {backgroundColor, borderTopColor, borderTopWidth} = getComputedStyle(spot);
    if (spot.classList.contains('u-marker') && parseFloat(borderTopWidth) === 0) continue;
    context.fillStyle = spot.classList.contains('u-marker') ? borderTopColor : backgroundColor;
    context.fillRect(box.left - whole.left, box.top - whole.top, box.width, box.height);
  }
  for (const frame of section.querySelectorAll('.frame:not([hidden]), .box')) drawFrame(context, frame, whole);
  context.textBaseline = 'middle';
  for (const text of section.querySelectorAll('h2, h3, .u-label, .unit')) {
    const box = text.getBoundingClientRect();
    context.font = `${getComputedStyle(text).fontWeight} ${getComputedStyle(text).fontSize} Roboto, sans-serif`;
    context.fillStyle = ink();
    const indent = text.querySelector('.swatch') ? 18 : 0;
    context.fillText(text.textContent, box.left - whole.left + indent, box.top - whole.top + box.height / 2);
  }
  sheet.toBlob((blob) => blob && save(blob, `${name}.png`));
}

function drawFrame(context, frame, whole) {
  const box = frame.getBoundingClientRect();
  const {borderTopColor, borderTopWidth, outlineColor, outlineWidth, outlineStyle} = getComputedStyle(frame);
  const around = outlineStyle === 'none' ? 0 : parseFloat(outlineWidth);
  const [line, half] = [parseFloat(borderTopWidth), parseFloat(borderTopWidth) / 2];
  for (const [color, thick] of [
    [outlineColor, line + 2 * around],
    [borderTopColor, line],
  ]) {
    context.strokeStyle = color;
    context.lineWidth = thick;
    const [x, y] = [box.left - whole.left + half, box.top - whole.top + half];
    context.strokeRect(x, y, Math.max(box.width - line, 1), Math.max(box.height - line, 1));
  }
}
