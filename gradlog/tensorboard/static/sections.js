/** Sections: each picture of the page, of the runs' tables, into a container; and the same as rows of a table. */

import {runColor, Scale} from './colors.js';
import {element, shown, stepText} from './dom.js';
import {heatmap, legend} from './heatmap.js';
import {lines} from './lines.js';
import {byMagnitude, layerOf, nearest, overTime, ratios, union} from './shape.js';

const DASHES = [undefined, [8, 4], [2, 3], [10, 3, 2, 3], [14, 5]];
const [LEAST_WIDTH, GAP] = [290, 16]; // of a panel, as in style.css
const MOST_MAGNITUDES = 32; // rows
const FRACTIONS = ['gradient_zero_fraction', 'activation_dead', 'activation_saturated'];

function isFraction(statistic) {
  return FRACTIONS.includes(statistic);
}

/** Panels of layer by step, one a run, on one scale of colours. */
export function drawHeatmaps(container, shownRuns, view) {
  const scale = new Scale(
    shownRuns.map(({table}) => table),
    isFraction(view.statistic),
  );
  container.append(legend(scale, view.statisticName));
  panels(container, shownRuns, scale, view, view.pick, () => missing(view));
}

function panels(container, shownRuns, scale, view, pick, nothing) {
  const number = Math.max(
    1,
    Math.min(shownRuns.length, Math.floor((container.clientWidth + GAP) / (LEAST_WIDTH + GAP))),
  );
  const width = Math.floor(Math.min(620, (container.clientWidth - GAP * (number - 1)) / number));
  const row = element('div', {class: 'panels'});
  for (const {run, table} of shownRuns) {
    const look = {
      width,
      scale,
      step: nearest(table.steps, view.step),
      boxes: view.box && view.box.run === run.run ? [view.box] : [],
      layer: view.layer,
      tooltip: view.tooltip,
      say: view.say,
      pick: (time, place) => pick(table.steps[time], table.variables[place]),
    };
    const title = element('h3', {}, element('span', {class: 'swatch', color: runColor(run.color)}), run.run);
    const drawing = table.variables.length
      ? heatmap(run, table, look)
      : element('p', {class: 'nothing', text: nothing()});
    const thinned =
      table.steps.length < table.num_steps ? `${table.steps.length} of ${stepText(table.num_steps)} logged steps` : '';
    row.append(element('figure', {'data-run': run.run}, title, drawing, element('figcaption', {text: thinned})));
  }
  container.append(row);
}

function missing(view) {
  if (view.statistic.startsWith('activation')) {
    return 'Not logged in this run. GradientLogger(…, activations=x[:100]) logs it.';
  }
  return `This run has no ${view.statisticName} here.`;
}

/** One line a run over the layers, at one step. */
export function drawProfile(container, shownRuns, view) {
  const names = union(shownRuns.map(({table}) => table.variables));
  const drawn = shownRuns.map(({run, table}) => {
    const time = nearest(table.steps, view.step);
    const values = names.map((name) => (time < 0 ? null : (overTime(table, name)[time] ?? null)));
    const step = time < 0 ? '' : ` (step ${stepText(table.steps[time])})`;
    return {label: `${run.run}${step}`, color: runColor(run.color), x: names.map((_, index) => index), y: values};
  });
  const labels = view.part === 'all' ? names : names.map(layerOf);
  lines(container, drawn, {
    ...common(container, view),
    title: `${view.statisticName} by depth`,
    xNames: labels,
    xLabel: 'input → output',
    height: 360,
  });
}

function common(container, view) {
  return {
    width: Math.min(container.clientWidth, 900),
    isLogarithmic: !isFraction(view.statistic),
    yLabel: view.statisticName,
  };
}

/** The layers picked, over the steps: the run is the colour, the layer the dash. */
export function drawOverTime(container, shownRuns, view) {
  const drawn = shownRuns.flatMap(({run, table}) =>
    view.picked.map((name, index) => ({
      label: `${run.run} ${name}`,
      color: runColor(run.color),
      dash: DASHES[index % DASHES.length],
      x: table.steps,
      y: overTime(table, name),
    })),
  );
  const look = {
    title: `${view.statisticName} over time`,
    xLabel: 'step',
    mark: view.step,
    nothing: 'Tick layers at the left.',
  };
  lines(container, drawn, {...common(container, view), ...look});
}

/** The last layer over the first, over the steps. */
export function drawRatios(container, shownRuns, view) {
  const drawn = shownRuns.map(({run, table}) => {
    return {label: run.run, color: runColor(run.color), x: table.steps, y: ratios(table)};
  });
  const look = {title: 'last / first layer', xLabel: 'step', yLabel: 'last / first', mark: view.step};
  lines(container, drawn, {...common(container, view), ...look, isLogarithmic: true});
}

/** Histograms of one layer by magnitude: several runs over each other at one step, and each over the steps. */
export function drawHistograms(container, found, view) {
  drawOverlay(container, found, view);
  const tables = byMagnitude(
    found.map(({histogram}) => histogram),
    MOST_MAGNITUDES,
  );
  const shownRuns = found
    .map(({run}, index) => ({run, table: tables[index]}))
    .filter(({table}) => table.variables.length);
  if (!shownRuns.length) return;
  const most = Math.max(...tables.flatMap(({values}) => values.flat()), 0.01);
  const scale = new Scale([], true, most);
  const name = `part of the elements, by magnitude of the ${view.kind} of ${view.layer}`;
  container.append(element('h3', {text: name}), legend(scale, name, false));
  panels(
    container,
    shownRuns,
    scale,
    {...view, box: null},
    (step) => view.pick(step, view.layer),
    () => '',
  );
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
    width: Math.min(container.clientWidth, 900),
    isLogarithmic: false,
    title: `${view.kind} of ${view.layer} by magnitude`,
    xLabel: `|${view.kind}|, logarithmic`,
    xText: (value) => powerOfTen(value),
    yLabel: 'part of the elements',
    nothing:
      view.kind === 'activation' ? missing({statistic: 'activation'}) : 'No histograms of this layer were logged.',
  });
}

function powerOfTen(exponent) {
  return Number.isInteger(exponent) ? `1e${exponent}` : shown(10 ** exponent);
}

/** What the heat maps show. */
export function tableRows(shownRuns, statistic) {
  const rows = shownRuns.flatMap(({run, table}) =>
    table.steps.flatMap((step, time) =>
      table.variables.map((name, place) => {
        return [run.run, step, name, table.values[time][place], table.marks.get(`${time} ${place}`) ?? 0];
      }),
    ),
  );
  return [['run', 'step', 'variable', statistic, 'nonfinite'], ...rows];
}

/** What the profile shows. */
export function profileRows(shownRuns, view) {
  const rows = shownRuns.flatMap(({run, table}) => {
    const time = nearest(table.steps, view.step);
    return time < 0
      ? []
      : table.variables.map((name, place) => [run.run, table.steps[time], name, table.values[time][place]]);
  });
  return [['run', 'step', 'variable', view.statistic], ...rows];
}

/** The layers over time. */
export function overTimeRows(shownRuns, view) {
  const rows = shownRuns.flatMap(({run, table}) =>
    view.picked.flatMap((name) =>
      overTime(table, name).map((value, time) => [run.run, table.steps[time], name, value]),
    ),
  );
  return [['run', 'step', 'variable', view.statistic], ...rows];
}

/** The ratios over time. */
export function ratioRows(shownRuns) {
  const rows = shownRuns.flatMap(({run, table}) =>
    ratios(table).map((value, time) => [run.run, table.steps[time], value]),
  );
  return [['run', 'step', 'last_over_first'], ...rows];
}

/** The histograms, all steps. */
export function histogramRows(found, view) {
  const rows = found.flatMap(({run, histogram}) =>
    histogram.steps.flatMap((step, time) => [
      [run.run, step, view.layer, view.kind, 0, 0, histogram.zeros[time]],
      ...histogram.counts[time].map((count, octave) => {
        return [
          run.run,
          step,
          view.layer,
          view.kind,
          2 ** (histogram.first + octave),
          2 ** (histogram.first + octave + 1),
          count,
        ];
      }),
    ]),
  );
  return [['run', 'step', 'variable', 'of', 'least_magnitude', 'end_of_magnitude', 'elements'], ...rows];
}
