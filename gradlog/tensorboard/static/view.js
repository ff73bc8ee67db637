/** View: what to draw, from the user's choices and the available data, with defaults for what is not chosen. */

import {allSteps, concerns, merged, nearest, sameLayer, union} from './shape.js';

/**
 * Returns the view.
 * @param {Object} state The user's choices, each of which is available.
 * @param {Array} shownRuns {run, table} of each run.
 * @param {Object} chosenFinding {run, finding} that the charts show, or null.
 */
export function viewOf(state, shownRuns, chosenFinding) {
  const steps = allSteps(shownRuns.map(({table}) => table));
  const variables = merged(shownRuns.map(({table}) => table.variables));
  const short = new Map(shownRuns.flatMap(({table}) => [...table.short]));
  const picked = union([state.picked.map((name) => sameLayer(variables, name, short)).filter(Boolean)]);
  const ends = variables.length > 1 ? [variables[0], variables.at(-1)] : variables;
  return {
    statistic: state.statistic,
    part: state.part,
    steps,
    step: steps.length ? steps[nearest(steps, state.step)] : null,
    variables,
    picked: picked.length ? picked : ends,
    layer: sameLayer(variables, state.layer, short) ?? variables[0] ?? '',
    kind: state.kind,
    attention: state.attention,
    box: chosenFinding && boxOf(chosenFinding),
    blocks: state.blocks,
    turned: state.turned,
    ...namesOf(shownRuns.map(({table}) => table)),
  };
}

/** What variables are called: `labels` and the titles of their blocks, `blockOf`, where the network has blocks. */
function namesOf(tables) {
  const [labels, blockOf] = [new Map(), new Map()];
  for (const {tree, variables, labels: texts} of tables) {
    if (!tree.blocks.length) continue;
    variables.forEach((name, row) => {
      labels.set(name, texts[row]);
      if (tree.places[row] !== null) blockOf.set(name, tree.blocks[tree.places[row]].title);
    });
  }
  return {labels, blockOf};
}

/** Where a finding is in its run's heat map. */
function boxOf({run, finding}) {
  return {
    run: run.run,
    has: (name) => concerns(finding.where, name),
    first: finding.first_step,
    last: finding.last_step ?? Infinity,
  };
}
