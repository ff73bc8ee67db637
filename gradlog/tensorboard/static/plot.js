/** Plot: charts of uPlot in the page's look, and their end. */

import * as colors from './colors.js';
import uPlot from './vendor/uPlot.js';

const FONT = '11px Roboto, system-ui, sans-serif';
const charts = new WeakMap();

/** Draws a chart into a container, and returns it. */
export function plot(options, data, container) {
  const chart = new uPlot(options, data, container);
  charts.set(chart.root, chart);
  return chart;
}

/** Empties a container and destroys its charts, which listen to the window. */
export function clear(container) {
  for (const root of container.querySelectorAll('.uplot')) charts.get(root)?.destroy();
  container.replaceChildren();
}

/** Options that all axes share. */
export function axis() {
  const line = {stroke: colors.faint(), width: 1};
  return {stroke: colors.ink(), grid: line, ticks: line, font: FONT, labelFont: FONT, labelSize: 16};
}

export const join = uPlot.join;
