/** Rows: what each section shows, as a table; the first row has the column names. */

import {nearest, overTime, ratios} from './shape.js';

/** The numbers of the heat maps. */
export function ofTables(shownRuns, statistic) {
  const rows = shownRuns.flatMap(({run, table}) =>
    table.steps.flatMap((step, time) =>
      table.variables.map((name, place) => {
        return [run.run, step, name, table.values[time][place], table.marks.get(`${time} ${place}`) ?? 0];
      }),
    ),
  );
  return [['run', 'step', 'variable', statistic, 'nonfinite'], ...rows];
}

/** The numbers of the chart by depth. */
export function ofProfile(shownRuns, view) {
  const rows = shownRuns.flatMap(({run, table}) => {
    const time = nearest(table.steps, view.step);
    return time < 0
      ? []
      : table.variables.map((name, place) => [run.run, table.steps[time], name, table.values[time][place]]);
  });
  return [['run', 'step', 'variable', view.statistic], ...rows];
}

/** The numbers of the layers over time. */
export function ofOverTime(shownRuns, view) {
  const rows = shownRuns.flatMap(({run, table}) =>
    view.picked.flatMap((name) =>
      overTime(table, name).map((value, time) => [run.run, table.steps[time], name, value]),
    ),
  );
  return [['run', 'step', 'variable', view.statistic], ...rows];
}

/** One value of the heads at all steps. */
export function ofAttention(answered, value) {
  const rows = answered.flatMap(({run, attention: {steps, layers, values}}) =>
    steps.flatMap((step, time) =>
      layers.flatMap((layer, row) => values[time][row].map((number, head) => [run.run, step, layer, head, number])),
    ),
  );
  return [['run', 'step', 'layer', 'head', value], ...rows];
}

/** The ratios over time. */
export function ofRatios(shownRuns) {
  const rows = shownRuns.flatMap(({run, table}) =>
    ratios(table).map((value, time) => [run.run, table.steps[time], value]),
  );
  return [['run', 'step', 'last_over_first'], ...rows];
}

/** The counts of the histograms at all steps. */
export function ofHistograms(found, view) {
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
  return [['run', 'step', 'variable', 'kind', 'min_magnitude', 'max_magnitude', 'elements'], ...rows];
}
