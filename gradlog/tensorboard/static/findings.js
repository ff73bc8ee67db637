/** Findings: what the rules found in every run, worst first, and what to try; notes are folded below. */

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
  const clean = found.filter(({findings}) => findings.every(isNote)).map(({run}) => run.run);
  const cards = (each) => grouped(each).map((group) => card(group, chosen, open, show));
  const [notes, others] = [all.filter(({finding}) => isNote(finding)), all.filter(({finding}) => !isNote(finding))];
  const list = element('div', {class: 'findings'}, ...cards(others));
  if (notes.length) {
    const isOpen = open.includes(NOTES) || notes.some((one) => isChosen(one, chosen));
    const summary = element('summary', {text: `Notes, which need no action (${notes.length})`});
    list.append(element('details', {class: 'notes', open: isOpen, 'data-key': NOTES}, summary, ...cards(notes)));
  }
  if (clean.length) list.append(element('p', {class: 'clean', text: `No findings in: ${clean.join(', ')}`}));
  return list;
}

/** A key that identifies the same finding as the run goes on. */
export function keyOf(run, finding) {
  return JSON.stringify([run.run, finding.code, finding.first_step, finding.message.slice(0, 20)]);
}

const NOTES = 'notes';

function isNote(finding) {
  return finding.severity === 'note';
}

function isChosen({run, finding}, chosen) {
  return chosen !== null && keyOf(chosen.run, chosen.finding) === keyOf(run, finding);
}

/** Puts what a finding explains behind it: lists of a cause and what follows from it. */
function grouped(each) {
  const groups = [];
  for (const one of each) {
    if (one.finding.cause && groups.length) groups.at(-1).push(one);
    else groups.push([one]);
  }
  return groups;
}

function card([{run, finding}, ...following], chosen, open, show) {
  const isPressed = isChosen({run, finding}, chosen);
  const title = element(
    'button',
    {
      class: 'finding-title',
      'aria-pressed': String(isPressed),
      title: 'Show this finding in the charts',
      click: () => show(run, finding),
    },
    element('span', {class: `severity ${finding.severity}`, text: finding.severity}),
    element('span', {class: 'swatch', color: runColor(run.color)}),
    element('strong', {text: `${run.run}: ${finding.name}`}),
    element('span', {class: 'code', text: `${finding.code} · ${finding.place} · ${finding.steps}`}),
  );
  const measured = ` (measured ${shown(finding.measured)}, threshold ${shown(finding.threshold)})`;
  const remedies = finding.remedies.map((remedy) => element('li', {text: remedy}));
  const change = finding.change ? [element('p', {class: 'change'}, element('strong', {text: 'Change '}), element('code', {text: finding.change}))] : [];
  return element(
    'article',
    {class: 'finding'},
    title,
    element('p', {text: finding.message + (finding.has_numbers ? measured : '')}),
    ...change,
    element(
      'details',
      {open: isPressed || open.includes(keyOf(run, finding)), 'data-key': keyOf(run, finding)},
      element('summary', {text: 'What to try'}),
      element('ol', {}, ...remedies),
      ...(finding.has_page ? [more(finding.code)] : []),
    ),
    ...explained(run, finding, following, chosen, open, show),
  );
}

/** A link to the page of a rule. */
function more(code) {
  const url = new URL('./rule', import.meta.url);
  url.searchParams.set('code', code);
  return element('a', {href: url.href, target: '_blank', rel: 'noopener', text: `More about ${code}`});
}

/** What follows from a finding, folded. */
function explained(run, finding, following, chosen, open, show) {
  if (!following.length) return [];
  const key = `explains ${keyOf(run, finding)}`;
  const isOpen = open.includes(key) || following.some((one) => isChosen(one, chosen));
  const codes = finding.explains.join(', ');
  const summary = element('summary', {text: `Explains ${codes}`});
  const cards = following.map((one) => card([one], chosen, open, show));
  return [element('details', {class: 'explains', open: isOpen, 'data-key': key}, summary, ...cards)];
}
