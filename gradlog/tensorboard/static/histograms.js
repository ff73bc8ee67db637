/** Histograms: one layer by magnitude, runs overlaid at one step, and each run over the steps. */

import {runColor, Scale} from './colors.js';
import {element, shown, stepText} from './dom.js';
import {legend} from './legend.js';
import {lines} from './lines.js';
import {drawPanels, missing} from './panels.js';
import {clear} from './plot.js';
import {byMagnitude, nearest, withoutTail} from './shape.js';

const MAX_MAGNITUDES = 32; // rows
const MAX_WIDTH = 1200;
const MAX_TAIL = 0.01; // fraction of the elements whose small magnitudes share one row
const MIN_SCALE = 0.01; // the colours end at this fraction or above

/** Draws both; returns a function that moves them to another view's step. */
export function drawHistograms(container, answered, view) {
  const cut = withoutTail(
    answered.map(({histogram}) => histogram),
    MAX_TAIL,
  );
  const found = answered.map(({run}, index) => ({run, histogram: cut[index]}));
  const [overlay, below] = [element('div', {}), element('div', {})];
  container.append(overlay, below);
  drawOverlay(overlay, found, view);
  const movePanels = drawOverSteps(below, found, view);
  return (moved) => {
    clear(overlay);
    drawOverlay(overlay, found, moved);
    movePanels(moved);
  };
}

function drawOverSteps(container, found, view) {
  const tables = byMagnitude(
    found.map(({histogram}) => histogram),
    MAX_MAGNITUDES,
  );
  const shownRuns = found
    .map(({run}, index) => ({run, table: tables[index]}))
    .filter(({table}) => table.variables.length && table.steps.length);
  if (!shownRuns.length) return () => {};
  const scale = new Scale([], true, largest(shownRuns));
  const name = `fraction of elements by magnitude: ${view.kindName} of ${view.layer}`;
  container.append(element('h3', {text: name}), legend(scale, name, false));
  const look = {pick: (step) => view.pick(step, view.layer), nothing: ''};
  return drawPanels(container, shownRuns, scale, {...view, box: null}, look);
}

function largest(shownRuns) {
  let max = MIN_SCALE;
  for (const {table} of shownRuns) for (const row of table.values) for (const part of row) if (part > max) max = part;
  return max;
}

function drawOverlay(container, found, view) {
  const drawn = found
    .filter(({histogram}) => histogram.steps.length)
    .map(({run, histogram}) => {
      const time = nearest(histogram.steps, view.step);
      const total = histogram.counts[time].reduce((sum, count) => sum + count, histogram.zeros[time]);
      const zeros = total ? histogram.zeros[time] / total : 0;
      return {
        label: `${run.run} (step ${stepText(histogram.steps[time])}, ${shown(zeros)} zero)`,
        color: runColor(run.color),
        x: histogram.counts[time].map((_, octave) => (histogram.first + octave + 0.5) * Math.log10(2)),
        y: histogram.counts[time].map((count) => (total ? count / total : 0)),
      };
    });
  lines(container, drawn, {
    width: Math.min(container.clientWidth, MAX_WIDTH),
    isLogarithmic: false,
    title: `${view.kindName} of ${view.layer} by magnitude`,
    xLabel: `magnitude of ${view.kindName} (log scale)`,
    xText: (value) => powerOfTen(value),
    yLabel: 'fraction of elements',
    tooltip: view.tooltip,
    nothing: nothing(found, view),
  });
}

function nothing(found, view) {
  if (found.some(({histogram}) => histogram.steps.length)) return 'All elements are zero.';
  if (view.isReading) return 'Loading …';
  return missing({statisticName: 'histogram of this layer', isOfLayers: view.isKindOfLayers});
}

function powerOfTen(exponent) {
  return Number.isInteger(exponent) ? `1e${exponent}` : shown(10 ** exponent);
}
