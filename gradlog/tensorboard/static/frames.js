/** Frames: the sections of the page, each with a title, buttons and a place for its pictures. */

import {element} from './dom.js';
import {saveCsv, savePng} from './download.js';
import {clear} from './plot.js';

const TITLES = {
  findings: 'Findings',
  heatmaps: 'Layers over steps',
  profile: 'By depth',
  attention: 'Attention',
  overTime: 'Over time',
  ratios: 'Ratio of last to first layer',
  histograms: 'Histograms',
};
const FOCUSABLE = '[tabindex], button';

/**
 * The sections.
 * @param {Object} controls Elements between the title and the picture, by the name of a section.
 */
export class Frames {
  constructor(controls) {
    this.rows = {}; // functions that return what a section shows as a table, by section
    this.movers = {}; // functions that move a section to the step of another view, by section
    this.sections = Object.fromEntries(
      Object.entries(TITLES).map(([name, title]) => [name, this.made(name, title, controls[name])]),
    );
  }

  /** How wide a picture can be, in CSS pixels; 0 if the page is not visible yet. */
  width() {
    return this.sections.heatmaps.querySelector('.content').clientWidth;
  }

  roots() {
    return Object.values(this.sections);
  }

  /** Shows a section or hides it. */
  show(name, isShown) {
    this.sections[name].hidden = !isShown;
  }

  scrollTo(name) {
    this.sections[name].scrollIntoView({behavior: 'smooth', block: 'start'});
  }

  /** Moves every picture to the step of a view that otherwise equals the one drawn. */
  move(view) {
    for (const move of Object.values(this.movers)) move?.(view);
  }

  /**
   * Replaces a section's content without making the page jump, and keeps the keyboard focus.
   * @param {function} drawInto Draws into an element; returns a mover if something moves with the step.
   */
  fill(name, drawInto) {
    const content = this.sections[name].querySelector('.content');
    const focused = [...content.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    content.style.minHeight = `${content.offsetHeight}px`;
    clear(content);
    this.movers[name] = drawInto(content);
    queueMicrotask(() => (content.style.minHeight = '')); // charts get their size a moment later
    if (focused >= 0) content.querySelectorAll(FOCUSABLE)[focused]?.focus({preventScroll: true});
  }

  made(name, title, control) {
    const head = element('header', {}, element('h2', {id: `title-${name}`, text: title}));
    const section = element('section', {id: name, 'aria-labelledby': `title-${name}`}, head);
    if (name !== 'findings') head.append(...this.buttons(name, section));
    section.append(...(control ? [control] : []), element('div', {class: 'content'}));
    return section;
  }

  buttons(name, section) {
    const csv = () => saveCsv(this.rows[name](), `gradients-${name}`);
    const png = () => savePng(section, `gradients-${name}`);
    return [
      element('button', {text: 'CSV', title: 'Download the numbers', click: csv}),
      element('button', {text: 'PNG', title: 'Download the picture', click: png}),
    ];
  }
}
