/** Panels: heat maps of several runs side by side, on one colour scale. */

import {runColor, Scale} from './colors.js';
import {element, stepText} from './dom.js';
import {folded} from './folding.js';
import {Heatmap} from './heatmap.js';
import {legend} from './legend.js';
import {nearest} from './shape.js';

export const FEW = 8; // runs; with more, the panels are small
const [MIN_WIDTH, MIN_WIDTH_SMALL, MAX_WIDTH, GAP] = [290, 170, 620, 16]; // of a panel, as in style.css
const NEAR = 300; // CSS pixels outside of the window
const BESIDE = 110; // CSS pixels for the names of layers
const COLUMNS = [400, 300, 200, 100]; // few values, so that one more run or a wider window needs no new request

/** The width of each of so many panels. */
export function panelWidth(whole, number) {
  const min = number > FEW ? MIN_WIDTH_SMALL : MIN_WIDTH;
  const inRow = Math.max(1, Math.min(number, Math.floor((whole + GAP) / (min + GAP))));
  return Math.floor(Math.min(MAX_WIDTH, (whole - GAP * (inRow - 1)) / inRow));
}

/** How many steps are distinguishable in each of so many panels. */
export function numColumns(whole, number) {
  const points = (panelWidth(whole, number) - BESIDE) * (window.devicePixelRatio || 1);
  return COLUMNS.find((columns) => columns <= points) ?? COLUMNS.at(-1);
}

/** Draws a panel per run, layers by steps; returns a function that moves them to another view's step. */
export function drawHeatmaps(container, shownRuns, view) {
  const tables = shownRuns.map(({table}) => table);
  const scale = new Scale(tables, view.isFraction);
  container.append(legend(scale, view.statisticName));
  const byBlock = shownRuns.map(({run, table}) => ({run, table: folded(table, view)}));
  return drawPanels(container, byBlock, scale, view, {pick: view.pick, turn: view.turn, nothing: missing(view)});
}

/**
 * Draws panels.
 * @param {Object} look pick(step, variable), turn(key), which folds or unfolds a block, and nothing, the text for a run
 *   with nothing to show.
 */
export function drawPanels(container, shownRuns, scale, view, {pick, turn, nothing}) {
  const isSmall = shownRuns.length > FEW;
  const width = panelWidth(container.clientWidth, shownRuns.length);
  const maps = shownRuns
    .filter(({table}) => table.variables.length)
    .map(({run, table}) => {
      const boxes = view.box && view.box.run === run.run ? [view.box] : [];
      const step = nearest(table.steps, view.step);
      const look = {width, isSmall, scale, step, boxes, layer: view.layer, tooltip: view.tooltip, say: view.say};
      return new Heatmap(run, table, {
        ...look,
        turn,
        pick: (time, place) => pick(table.steps[time], table.variables[place]),
      });
    });
  const figures = shownRuns.map(({run, table}) => {
    const map = maps.find((each) => each.run === run);
    return figure(run, width, map?.root ?? element('p', {class: 'nothing', text: nothing}), thinned(table));
  });
  container.append(element('div', {class: 'panels'}, ...figures));
  paintWhatIsSeen(maps);
  return ({step}) => maps.forEach((map) => map.move(nearest(map.table.steps, step)));
}

function thinned(table) {
  const isThinned = table.steps.length < table.num_steps;
  return isThinned ? `${table.steps.length} of ${stepText(table.num_steps)} logged steps` : '';
}

/** A picture of a run, with its name above and a caption below. */
export function figure(run, width, content, caption) {
  const title = element('h3', {}, element('span', {class: 'swatch', color: runColor(run.color)}), run.run);
  const made = element('figure', {'data-run': run.run}, title, content, element('figcaption', {text: caption}));
  made.style.width = `${width}px`;
  return made;
}

const painters = new WeakMap();

/** Paints visible panels at once, so that nothing flickers, and others when they come near. */
export function paintWhatIsSeen(maps) {
  const near = ({top, bottom}) => bottom > -NEAR && top < window.innerHeight + NEAR;
  const areNear = maps.map(({root}) => near(root.getBoundingClientRect()));
  const observer = new IntersectionObserver(
    (entries) => {
      for (const {isIntersecting, target} of entries) if (isIntersecting) paintNow(target);
    },
    {rootMargin: `${NEAR}px`},
  );
  maps.forEach((map, index) => {
    painters.set(map.root, map);
    if (areNear[index]) map.paint();
    else observer.observe(map.root);
  });
}

/** Paints a panel even if it is not visible, to save it as a picture. */
export function paintNow(root) {
  painters.get(root)?.paint();
}

/** The text for a run that has nothing to show. */
export function missing({statisticName, isOfLayers}) {
  const hint = isOfLayers ? ' GradientLogger(…, activations=x[:100]) logs activations.' : '';
  return `Not logged: ${statisticName}.${hint}`;
}
