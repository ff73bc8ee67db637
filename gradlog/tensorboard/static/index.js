/** Entry: TensorBoard imports this module into the tab's frame and calls `render`. */

import {element} from './dom.js';
import {Page} from './page.js';

const STYLES = ['./vendor/uPlot.css', './style.css'];

/** Draws the tab. */
export async function render() {
  document.documentElement.lang = 'en';
  document.title = 'Gradients';
  const loaded = STYLES.map((href) => {
    const link = element('link', {rel: 'stylesheet', href: new URL(href, import.meta.url).href});
    document.head.append(link);
    return new Promise((resolve) => link.addEventListener('load', resolve, {once: true}));
  });
  await Promise.all(loaded);
  await new Page(document.body).start();
}
