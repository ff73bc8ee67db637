/** Choices: what the side bar offers beside the runs: statistic, variables, layers, histograms, attention. */

import {choice, layerChooser} from './controls.js';
import {element} from './dom.js';

const FOCUSABLE = 'select, input, summary';

export class Choices {
  /** @param {function} change Called with the changed choices. */
  constructor(change) {
    this.change = change;
    this.root = element('div', {});
  }

  /**
   * Draws the choices if they have changed; an expanded list stays expanded.
   * @param {Object} view What the page shows.
   * @param {Model} model What can be chosen.
   * @param {boolean} hasAttention Whether any run has the attention of its heads.
   */
  draw(view, model, hasAttention) {
    const chosen = [view.picked, view.statistic, view.part, view.layer, view.kind, hasAttention, view.attention];
    const key = JSON.stringify([view.variables, ...chosen]);
    if (key === this.key) return;
    this.key = key;
    const focused = [...this.root.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    this.root.replaceChildren(...this.made(view, model), ...(hasAttention ? [this.ofAttention(view, model)] : []));
    if (focused >= 0) this.root.querySelectorAll(FOCUSABLE)[focused]?.focus();
  }

  made(view, model) {
    const {change} = this;
    const names = Object.fromEntries(view.variables.map((name) => [name, view.labels.get(name) ?? name]));
    return [
      choice('Statistic', labels(model.statistics), view.statistic, (statistic) => change({statistic})),
      choice('Variables', model.parts, view.part, (part) => change({part})),
      this.layers(view),
      choice('Layer in histograms', names, view.layer, (layer) => change({layer}), view.blockOf),
      choice('Histograms of', labels(model.histograms), view.kind, (kind) => change({kind})),
    ];
  }

  layers(view) {
    const open = [...this.root.querySelectorAll('details')].map((each) => [each.dataset.key, each.open]);
    const made = layerChooser(view, (name) => this.change({picked: toggled(view.picked, name)}));
    const wasOpen = new Map(open);
    for (const each of [made, ...made.querySelectorAll('details')]) {
      each.open = wasOpen.get(each.dataset.key) ?? each.open;
    }
    return made;
  }

  ofAttention(view, model) {
    return choice('Attention', labels(model.attention), view.attention, (attention) => this.change({attention}));
  }
}

function toggled(picked, name) {
  return picked.includes(name) ? picked.filter((each) => each !== name) : [...picked, name];
}

function labels(choices) {
  return Object.fromEntries(Object.entries(choices).map(([name, {label}]) => [name, label]));
}
