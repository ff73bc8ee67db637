/** Tooltip: a text next to the pointer. */

import {element} from './dom.js';

export class Tooltip {
  constructor(parent) {
    this.box = element('div', {class: 'tooltip', hidden: true});
    parent.append(this.box);
  }

  show(text, x, y) {
    this.box.textContent = text;
    this.box.hidden = false;
    const [width, height] = [this.box.offsetWidth, this.box.offsetHeight];
    this.box.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - width - 8))}px`;
    this.box.style.top = `${y + 18 + height > window.innerHeight ? y - height - 8 : y + 18}px`;
  }

  hide() {
    this.box.hidden = true;
  }
}
