/** Charts: lines by depth and over time, drawn from the runs' tables. */

import {runColor} from './colors.js';
import {stepText} from './dom.js';
import {lines, moveMark} from './lines.js';
import {clear} from './plot.js';
import {merged, nearest, overTime, ratios} from './shape.js';

const MAX_WIDTH = 1200;
const DASHES = [undefined, [8, 4], [2, 3], [10, 3, 2, 3], [14, 5]];

function common(container, view) {
  return {
    width: Math.min(container.clientWidth, MAX_WIDTH),
    isLogarithmic: !view.isFraction,
    yLabel: view.statisticName,
    tooltip: view.tooltip,
  };
}

/** Draws a line per run over the layers, at one step; returns a function that moves them to another view's step. */
export function drawProfile(container, shownRuns, view) {
  const names = merged(shownRuns.map(({table}) => table.variables));
  const labels = new Map(shownRuns.flatMap(({table}) => table.variables.map((name, at) => [name, table.labels[at]])));
  const places = shownRuns.map(({table}) => names.map((name) => table.variables.indexOf(name)));
  const look = {
    ...common(container, view),
    title: `${view.statisticName} by depth`,
    xNames: names.map((name) => labels.get(name)),
    xTicks: ticks(names, labels, view.blockOf),
    xLabel: 'input → output',
    height: 360,
  };
  const x = names.map((_, index) => index);
  const at = ({step}) =>
    shownRuns.map(({run, table}, index) => {
      const time = nearest(table.steps, step);
      const text = time < 0 ? '' : ` (step ${stepText(table.steps[time])})`;
      const y = places[index].map((place) => (time < 0 ? null : (table.values[time][place] ?? null)));
      return {label: `${run.run}${text}`, color: runColor(run.color), x, y};
    });
  lines(container, at(view), look);
  return (moved) => {
    clear(container);
    lines(container, at(moved), look);
  };
}

/** A tick for each block, and for each layer that is in none. */
function ticks(names, labels, blockOf) {
  return names.flatMap((name, at) => {
    const block = blockOf.get(name);
    if (block === undefined) return [{at, text: labels.get(name)}];
    return block === blockOf.get(names[at - 1]) ? [] : [{at, text: block}];
  });
}

/** Draws the picked layers over the steps: a colour per run, a dash per layer. Returns what `drawProfile` does. */
export function drawOverTime(container, shownRuns, view) {
  const drawn = shownRuns.flatMap(({run, table}) =>
    view.picked.map((name, index) => ({
      label: `${run.run} ${view.labels.get(name) ?? name}`,
      color: runColor(run.color),
      dash: DASHES[index % DASHES.length],
      x: table.steps,
      y: overTime(table, name),
    })),
  );
  const look = {title: `${view.statisticName} over time`, xLabel: 'step', nothing: 'Select layers on the left.'};
  return overSteps(container, drawn, {...common(container, view), ...look, mark: view.step});
}

/** Draws the last layer over the first, over the steps. Returns what `drawProfile` does. */
export function drawRatios(container, shownRuns, view) {
  const drawn = shownRuns.map(({run, table}) => {
    return {label: run.run, color: runColor(run.color), x: table.steps, y: ratios(table)};
  });
  const look = {title: 'last / first layer', xLabel: 'step', yLabel: 'last / first', isLogarithmic: true};
  return overSteps(container, drawn, {...common(container, view), ...look, mark: view.step});
}

function overSteps(container, drawn, look) {
  const chart = lines(container, drawn, look);
  return ({step}) => chart && moveMark(chart, step);
}
