/** Folder: the buttons that fold and unfold all blocks of the heat maps. */

import {element} from './dom.js';

export class Folder {
  /** @param {function} change Called with the changed choices. */
  constructor(change) {
    const all = (blocks) => () => change({blocks, turned: []});
    this.root = element(
      'div',
      {class: 'folder', hidden: true},
      element('button', {text: 'Fold all blocks', click: all('folded')}),
      element('button', {text: 'Unfold all blocks', click: all('unfolded')}),
      element('span', {class: 'hint', text: 'A folded block shows its largest value; click it to see its layers.'}),
    );
  }

  /** Shows the buttons where any table has blocks. */
  draw(hasAny) {
    this.root.hidden = !hasAny;
  }
}

/** The choice in which a block is folded if it was not, and the other way round. */
export function turnedAround(key, {turned}) {
  return {turned: turned.includes(key) ? turned.filter((each) => each !== key) : [...turned, key]};
}
