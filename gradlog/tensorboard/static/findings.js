/** Findings: what the rules say of every run, worst first, and what to try. */

import {runColor} from './colors.js';
import {element, shown} from './dom.js';

const SEVERITIES = ['alarm', 'warning'];
// The statistic in which one sees what a rule found, by the first letters of its code.
const STATISTICS = {
  GL1: 'gradient_mean_abs',
  GL201: 'activation_dead',
  GL202: 'activation_saturated',
  GL301: 'update_ratio',
  GL302: 'update_ratio',
  GL303: 'weight_norm',
};

/** The statistic to look at for a finding, or undefined. */
export function statisticOf(code) {
  return STATISTICS[code] ?? STATISTICS[code.slice(0, 3)];
}

/**
 * Draws the list.
 * @param {Array} found {run, findings} of each run.
 * @param {Object} chosen {run, finding} that the pictures show, or null.
 * @param {Array} open Keys of the findings whose remedies are unfolded.
 * @param {function} show Called with (run, finding) when one is clicked.
 */
export function findingsList(found, chosen, open, show) {
  const all = found.flatMap(({run, findings}) => findings.map((finding) => ({run, finding})));
  all.sort((one, other) => SEVERITIES.indexOf(one.finding.severity) - SEVERITIES.indexOf(other.finding.severity));
  const clean = found.filter(({findings}) => !findings.length).map(({run}) => run.run);
  const list = element('div', {class: 'findings'}, ...all.map((each) => card(each, chosen, open, show)));
  if (clean.length) list.append(element('p', {class: 'clean', text: `Nothing found in: ${clean.join(', ')}`}));
  return list;
}

/** By what a finding is known again as the run goes on. */
export function keyOf(run, finding) {
  return JSON.stringify([run.run, finding.code, finding.first_step, finding.message.slice(0, 20)]);
}

function some(names) {
  if (names.length <= 4) return names.join(', ');
  return `${names[0]}, ${names[1]} … ${names.at(-1)} (${names.length} in all)`;
}

function card({run, finding}, chosen, open, show) {
  const where = finding.where.length ? some(finding.where) : 'the whole run';
  const isChosen = chosen !== null && keyOf(chosen.run, chosen.finding) === keyOf(run, finding);
  const title = element(
    'button',
    {
      class: 'finding-title',
      'aria-pressed': String(isChosen),
      title: 'Show in the pictures',
      click: () => show(run, finding),
    },
    element('span', {class: `severity ${finding.severity}`, text: finding.severity}),
    element('span', {class: 'swatch', color: runColor(run.color)}),
    element('strong', {text: `${run.run}: ${finding.name}`}),
    element('span', {class: 'code', text: `${finding.code} · ${where} · ${finding.steps}`}),
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
