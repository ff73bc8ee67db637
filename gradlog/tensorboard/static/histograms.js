/** Histograms: of one layer by magnitude, several runs over each other at one step, and each over the steps. */

import {runColor, Scale} from './colors.js';
import {element, shown, stepText} from './dom.js';
import {legend} from './legend.js';
import {lines} from './lines.js';
import {drawPanels, missing} from './panels.js';
import {clear} from './plot.js';
import {byMagnitude, nearest, withoutTail} from './shape.js';

const MOST_MAGNITUDES = 32; // rows
const WIDEST = 1200;
const MOST_OF_TAIL = 0.01; // of the elements, whose small magnitudes are put together
const LEAST_PART = 0.01; // at which the colours end, at least

/** Draws both; returns a function that moves them to the step of another view. */
export function drawHistograms(container, answered, view) {
  const cut = withoutTail(
    answered.map(({histogram}) => histogram),
    MOST_OF_TAIL,
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
    MOST_MAGNITUDES,
  );
  const shownRuns = found
    .map(({run}, index) => ({run, table: tables[index]}))
    .filter(({table}) => table.variables.length && table.steps.length);
  if (!shownRuns.length) return () => {};
  const scale = new Scale([], true, largest(shownRuns));
  const name = `part of the elements, by magnitude of the ${view.kind} of ${view.layer}`;
  container.append(element('h3', {text: name}), legend(scale, name, false));
  const look = {pick: (step) => view.pick(step, view.layer), nothing: ''};
  return drawPanels(container, shownRuns, scale, {...view, box: null}, look);
}

function largest(shownRuns) {
  let most = LEAST_PART;
  for (const {table} of shownRuns) for (const row of table.values) for (const part of row) if (part > most) most = part;
  return most;
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
    width: Math.min(container.clientWidth, WIDEST),
    isLogarithmic: false,
    title: `${view.kind} of ${view.layer} by magnitude`,
    xLabel: `|${view.kind}|, logarithmic`,
    xText: (value) => powerOfTen(value),
    yLabel: 'part of the elements',
    tooltip: view.tooltip,
    nothing: nothing(found, view),
  });
}

function nothing(found, view) {
  if (found.some(({histogram}) => histogram.steps.length)) return 'Every element is zero.';
  if (view.isReading) return 'Reading …';
  return view.kind === 'activation' ? missing({statistic: 'activation'}) : 'No histograms of this layer were logged.';
}

function powerOfTen(exponent) {
  return Number.isInteger(exponent) ? `1e${exponent}` : shown(10 ** exponent);
}
