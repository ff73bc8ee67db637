/** View: what is drawn, of the user's choices and of what there is; where nothing was chosen yet as well. */

import {allSteps, concerns, merged, nearest, sameLayer, union} from './shape.js';

export const KINDS = {gradient: 'gradient', weight: 'weight', activation: 'activation'};

/**
 * Returns the view.
 * @param {Object} state The user's choices.
 * @param {Array} shownRuns {run, table} of each run.
 * @param {Object} chosenFinding {run, finding} that the pictures show, or null.
 */
export function viewOf(state, shownRuns, chosenFinding) {
  const steps = allSteps(shownRuns.map(({table}) => table));
  const variables = merged(shownRuns.map(({table}) => table.variables));
  const picked = union([state.picked.map((name) => sameLayer(variables, name)).filter(Boolean)]);
  const ends = variables.length > 1 ? [variables[0], variables.at(-1)] : variables;
  return {
    statistic: state.statistic,
    part: state.part,
    steps,
    step: steps.length ? steps[nearest(steps, state.step)] : null,
    variables,
    picked: picked.length ? picked : ends,
    layer: sameLayer(variables, state.layer) ?? variables[0] ?? '',
    kind: Object.hasOwn(KINDS, state.kind) ? state.kind : 'gradient',
    box: chosenFinding && boxOf(chosenFinding),
  };
}

/** Where a finding stands in the heat map of its run. */
function boxOf({run, finding}) {
  return {
    run: run.run,
    has: (name) => concerns(finding.where, name),
    first: finding.first_step,
    last: finding.last_step ?? Infinity,
  };
}
