/** Controls: the side bar for choosing runs, statistic and layers. */

import {isDark, runColor} from './colors.js';
import {element} from './dom.js';

let numbers = 0;

function labelled(text, control) {
  const id = `control-${numbers++}`;
  control.id = id;
  return element('div', {class: 'control'}, element('label', {for: id, text}), control);
}

/** A drop-down list of {value: text}; values with a group, by `groupOf`, stand below its name. */
export function choice(text, choices, chosen, change, groupOf = new Map()) {
  const option = ([value, name]) => element('option', {value, text: name, selected: value === chosen});
  const options = grouped(Object.entries(choices), ([value]) => groupOf.get(value)).flatMap(([group, entries]) =>
    group ? [element('optgroup', {label: group}, ...entries.map(option))] : entries.map(option),
  );
  return labelled(text, element('select', {change: (event) => change(event.target.value)}, ...options));
}

/** Items one after the other with the same group: lists of [group, items]. */
function grouped(items, groupOf) {
  const groups = [];
  for (const item of items) {
    const group = groupOf(item);
    if (groups.length && groups.at(-1)[0] === group) groups.at(-1)[1].push(item);
    else groups.push([group, [item]]);
  }
  return groups;
}

/** The regular expression that runs must match, and the list of runs. */
export class RunChooser {
  constructor(change) {
    this.change = change;
    this.error = element('p', {class: 'error', role: 'alert'});
    this.list = element('ul', {class: 'runs', 'aria-label': 'Runs'});
    this.field = element('input', {type: 'search', placeholder: 'regular expression', input: () => this.typed()});
    this.root = element('div', {}, labelled('Runs', this.field), this.error, this.list);
  }

  /** The runs that match and are ticked; an invalid expression matches all. */
  chosen(runs, state) {
    let pattern = null;
    this.error.textContent = '';
    try {
      pattern = new RegExp(state.filter, 'i');
    } catch {
      this.error.textContent = 'Invalid regular expression';
    }
    const matching = runs.filter((run) => !pattern || pattern.test(run.run));
    if (runs.length && !matching.length) this.error.textContent = 'No matching runs';
    this.matching = matching;
    return matching.filter((run) => !state.hidden.includes(run.run));
  }

  draw(state) {
    this.state = state;
    if (document.activeElement !== this.field) this.field.value = state.filter;
    const key = JSON.stringify([this.matching.map(({run, color}) => [run, color]), state.hidden, isDark()]);
    if (key === this.key) return;
    this.key = key;
    const focused = document.activeElement?.dataset?.run;
    this.list.replaceChildren(...this.matching.map((run) => this.item(run)));
    for (const box of this.list.querySelectorAll('input')) if (box.dataset.run === focused) box.focus();
  }

  item(run) {
    const isShown = !this.state.hidden.includes(run.run);
    const box = element('input', {type: 'checkbox', 'data-run': run.run, change: () => this.ticked(run.run)});
    box.checked = isShown;
    const swatch = element('span', {class: 'swatch', color: runColor(run.color)});
    return element('li', {}, element('label', {}, box, swatch, element('span', {text: run.run})));
  }

  typed() {
    this.change({filter: this.field.value});
  }

  ticked(run) {
    const {hidden} = this.state;
    this.change({hidden: hidden.includes(run) ? hidden.filter((name) => name !== run) : [...hidden, run]});
  }
}

/** The layers to draw over time; those of a block are folded, unless one of them is chosen. */
export function layerChooser({variables, picked, labels, blockOf}, change) {
  const item = (name) => {
    const box = element('input', {type: 'checkbox', 'data-layer': name, change: () => change(name)});
    box.checked = picked.includes(name);
    return element('li', {title: name}, element('label', {}, box, element('span', {text: labels.get(name) ?? name})));
  };
  const items = grouped(variables, (name) => blockOf.get(name)).flatMap(([block, names]) =>
    block ? [blockItem(block, names, picked, item)] : names.map(item),
  );
  const summary = element('summary', {text: `Layers over time (${picked.length} of ${variables.length})`});
  return element('details', {class: 'layers', 'data-key': '', open: variables.length <= 12}, summary, element('ul', {}, ...items));
}

function blockItem(block, names, picked, item) {
  const number = names.filter((name) => picked.includes(name)).length;
  const summary = element('summary', {text: number ? `${block} (${number} of ${names.length})` : block});
  const list = element('ul', {}, ...names.map(item));
  return element('li', {}, element('details', {class: 'block', 'data-key': block, open: number > 0}, summary, list));
}

/** The step slider, with a button that plays the steps. */
export class StepSlider {
  constructor(change) {
    this.change = change;
    this.timer = null;
    this.slider = element('input', {type: 'range', min: 0, 'aria-label': 'Step', input: () => this.moved()});
    this.text = element('output', {class: 'step-text'});
    this.play = element('button', {class: 'play', text: '▶ Play', click: () => this.toggle()});
    this.root = element('div', {class: 'stepper'}, this.play, this.slider, this.text);
    this.draw([], 0);
  }

  draw(steps, index) {
    this.steps = steps;
    this.slider.disabled = this.play.disabled = !steps.length;
    this.slider.max = Math.max(steps.length - 1, 0);
    this.slider.value = index;
    const text = steps.length ? `step ${steps[index].toLocaleString('en-US')}` : 'no steps';
    this.text.textContent = text;
    this.slider.setAttribute('aria-valuetext', text);
  }

  /** Shows the step at once; the pictures follow once per frame. */
  moved() {
    this.draw(this.steps, Number(this.slider.value));
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.change(this.steps[Number(this.slider.value)]);
    });
  }

  toggle() {
    if (this.timer) return this.stop();
    if (Number(this.slider.value) >= this.steps.length - 1) this.slider.value = 0;
    this.moved();
    this.play.textContent = '⏸ Pause';
    this.timer = setInterval(() => {
      if (Number(this.slider.value) >= this.steps.length - 1) return this.stop();
      this.slider.value = Number(this.slider.value) + 1;
      this.moved();
    }, 350);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = '▶ Play';
  }
}
