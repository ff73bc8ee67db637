/** Findings: what the rules found in every run, worst first, and what to try. */

import {runColor} from './colors.js';
import {element, shown} from './dom.js';

/**
 * Draws the list.
 * @param {Array} found {run, findings} of each run.
 * @param {Object} chosen {run, finding} that the charts show, or null.
 * @param {Array} open Keys of the findings whose remedies are expanded.
 * @param {function} show Called with (run, finding) when one is clicked.
 */
export function findingsList(found, chosen, open, show) {
  const all = found.flatMap(({run, findings}) => findings.map((finding) => ({run, finding})));
  all.sort((one, other) => one.finding.rank - other.finding.rank);
  const clean = found.filter(({findings}) => !findings.length).map(({run}) => run.run);
  const list = element('div', {class: 'findings'}, ...all.map((each) => card(each, chosen, open, show)));
  if (clean.length) list.append(element('p', {class: 'clean', text: `No findings in: ${clean.join(', ')}`}));
  return list;
}

/** A key that identifies the same finding as the run goes on. */
export function keyOf(run, finding) {
  return JSON.stringify([run.run, finding.code, finding.first_step, finding.message.slice(0, 20)]);
}

function card({run, finding}, chosen, open, show) {
  const isChosen = chosen !== null && keyOf(chosen.run, chosen.finding) === keyOf(run, finding);
  const title = element(
    'button',
    {
      class: 'finding-title',
      'aria-pressed': String(isChosen),
      title: 'Show this finding in the charts',
      click: () => show(run, finding),
    },
    element('span', {class: `severity ${finding.severity}`, text: finding.severity}),
    element('span', {class: 'swatch', color: runColor(run.color)}),
    element('strong', {text: `${run.run}: ${finding.name}`}),
    element('span', {class: 'code', text: `${finding.code} · ${finding.place} · ${finding.steps}`}),
  );
  const numbers = `measured ${shown(finding.measured)}, threshold ${shown(finding.threshold)}`;
  const remedies = finding.remedies.map((remedy) => element('li', {text: remedy}));
  return element(
    'article',
    {class: 'finding'},
    title,
    element('p', {text: `${finding.message} (${numbers})`}),
    element(
      'details',
      {open: isChosen || open.includes(keyOf(run, finding)), 'data-key': keyOf(run, finding)},
      element('summary', {text: 'What to try'}),
      element('ol', {}, ...remedies),
    ),
  );
}
