/** Lines: line charts of uPlot, in the page's colours. */

import {element, shown, stepText} from './dom.js';
import {axis, join, plot} from './plot.js';

const FEW = 12; // lines; with more, a tooltip names the one near the pointer instead of a legend

/**
 * Draws a chart into a container and returns it; undefined if there are no numbers.
 * @param {Element} container
 * @param {Array} lines {label, color, dash, x, y}; y is null if there is no number.
 * @param {Object} look width, isLogarithmic, title, xNames (names of 0, 1, …), xTicks ({at, text}), xText(value), xLabel, yLabel,
 *   mark (an x, see `moveMark`), tooltip, nothing (the text if there are no numbers).
 */
export function lines(container, lines, look) {
  const drawable = (y) => y !== null && (!look.isLogarithmic || y > 0);
  const filled = lines.filter((line) => line.y.some(drawable));
  const empty = lines.filter((line) => !filled.includes(line)).map((line) => line.label);
  if (!filled.length) {
    container.append(element('p', {class: 'nothing', text: look.nothing ?? 'No numbers to draw.'}));
    return;
  }
  const data = join(filled.map((line) => [line.x, line.y.map((y) => (drawable(y) ? y : null))]));
  const chart = plot(options(filled, look), data, container);
  chart.root.setAttribute('role', 'img');
  chart.root.setAttribute('aria-label', description(filled, look));
  const notes = [
    filled.length > FEW && `${filled.length} lines; point at one to see its name.`,
    empty.length && `Not drawn, because every number is zero, NaN, infinite or missing: ${empty.join(', ')}`,
  ];
  container.append(...notes.filter(Boolean).map((text) => element('p', {class: 'nothing', text})));
  return chart;
}

function description(filled, look) {
  const ends = filled.slice(0, 8).map((line) => {
    const y = line.y.filter((value) => value !== null);
    return `${line.label} from ${shown(y[0])} to ${shown(y.at(-1))}`;
  });
  return `${look.title}: ${ends.join('; ')}`;
}

function options(filled, look) {
  const xText = look.xText ?? stepText;
  const isCrowded = filled.length > FEW;
  return {
    width: look.width,
    height: look.height ?? 300,
    scales: {x: {time: false, range: xRange}, y: {distr: look.isLogarithmic ? 3 : 1}},
    axes: [look.xNames ? named(look) : {...axis(), label: look.xLabel, values: texts(xText)}, vertical(look)],
    series: [
      {label: look.xLabel, value: (_, x) => (x === null ? '–' : (look.xNames?.[x] ?? xText(x)))},
      ...series(filled),
    ],
    plugins: [
      ...(look.mark === undefined ? [] : [{hooks: {ready: (chart) => addMark(chart, look.mark)}}]),
      ...(isCrowded && look.tooltip ? [nearestLine(look.tooltip)] : []),
    ],
    ...(isCrowded ? {focus: {alpha: 0.2}} : {}),
    padding: [12, look.xNames ? 48 : 24, 0, 0],
    legend: {show: !isCrowded, live: true},
    cursor: {drag: {x: false, y: false}, ...(isCrowded ? {focus: {prox: 16}} : {})},
  };
}

/** Shows the name and value of the line near the pointer. */
function nearestLine(tooltip) {
  let focused = null;
  const show = (chart) => {
    const {left, top, idx} = chart.cursor;
    if (focused === null || idx === null || idx === undefined || left < 0) return tooltip.hide();
    const box = chart.over.getBoundingClientRect();
    const text = `${chart.series[focused].label}: ${shown(chart.data[focused][idx])}`;
    tooltip.show(text, box.left + left, box.top + top);
  };
  const leave = (chart) => chart.over.addEventListener('mouseleave', () => tooltip.hide());
  return {hooks: {ready: leave, setSeries: (_, index) => (focused = index), setCursor: show}};
}

function xRange(_, low, high) {
  return low === high ? [low - 1, high + 1] : [low, high];
}

function texts(text) {
  return (_, splits) => splits.map((value) => (value === null || value === undefined ? '' : text(value)));
}

function named({xTicks, xLabel}) {
  const each = Math.ceil(xTicks.length / 40);
  const ticks = xTicks.filter((_, index) => index % each === 0);
  const longest = Math.max(...xTicks.map(({text}) => text.length));
  return {
    ...axis(),
    label: xLabel,
    splits: () => ticks.map(({at}) => at),
    values: () => ticks.map(({text}) => text.slice(-24)),
    rotate: -40,
    size: Math.min(30 + 5 * longest, 120),
  };
}

function vertical(look) {
  const common = axis();
  const sparse = look.isLogarithmic ? {filter: decades} : {};
  const [grid, ticks] = [common.grid, common.ticks].map((lines) => ({...lines, ...sparse}));
  return {...common, grid, ticks, label: look.yLabel, size: 62, values: texts(shown)};
}

/** On a logarithmic axis over more than four decades, only whole decades get a grid line. */
function decades(chart, splits) {
  const {min, max} = chart.scales.y;
  if (max / min < 1e4) return splits;
  return splits.map((value) => (Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6 ? value : null));
}

function series(filled) {
  return filled.map((line) => ({
    label: line.label,
    stroke: line.color,
    dash: line.dash,
    width: 2,
    points: {show: line.x.length < 60, size: 5, fill: line.color},
    value: (_, value) => shown(value),
  }));
}

function addMark(chart, x) {
  chart.over.append(element('div', {class: 'mark'}));
  moveMark(chart, x);
}

/** Moves a chart's mark to an x; the mark is an element, since redrawing a hundred lines is slow. */
export function moveMark(chart, x) {
  const at = chart.valToPos(x, 'x');
  const line = chart.over.querySelector('.mark');
  line.hidden = !(at >= 0 && at <= chart.over.clientWidth);
  line.style.left = `${at}px`;
}
