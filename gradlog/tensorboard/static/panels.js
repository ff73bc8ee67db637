/** Panels: heat maps of several runs side by side, on one scale of colours. */

import {runColor, Scale} from './colors.js';
import {element, stepText} from './dom.js';
import {Heatmap} from './heatmap.js';
import {legend} from './legend.js';
import {isFraction, nearest} from './shape.js';

const FEW = 8; // runs; of more, each panel is small
const [LEAST_WIDTH, LEAST_OF_SMALL, WIDEST, GAP] = [290, 170, 620, 16]; // of a panel, as in style.css
const NEAR = 300; // points outside of the window
const BESIDE = 110; // names of layers
const COLUMNS = [400, 300, 200, 100]; // few numbers, so that one more run or a wider window asks for nothing new

/** How wide each of so many panels is. */
function panelWidth(whole, number) {
  const least = number > FEW ? LEAST_OF_SMALL : LEAST_WIDTH;
  const inRow = Math.max(1, Math.min(number, Math.floor((whole + GAP) / (least + GAP))));
  return Math.floor(Math.min(WIDEST, (whole - GAP * (inRow - 1)) / inRow));
}

/** How many steps can be told apart in each of so many panels. */
export function numColumns(whole, number) {
  const points = (panelWidth(whole, number) - BESIDE) * (window.devicePixelRatio || 1);
  return COLUMNS.find((columns) => columns <= points) ?? COLUMNS.at(-1);
}

/** Panels of layer by step, one a run; returns a function that moves them to the step of another view. */
export function drawHeatmaps(container, shownRuns, view) {
  const tables = shownRuns.map(({table}) => table);
  const scale = new Scale(tables, isFraction(view.statistic));
  container.append(legend(scale, view.statisticName));
  return drawPanels(container, shownRuns, scale, view, {pick: view.pick, nothing: missing(view)});
}

/**
 * Draws panels.
 * @param {Object} look pick(step, variable), and nothing, what to say where a run has nothing here.
 */
export function drawPanels(container, shownRuns, scale, view, {pick, nothing}) {
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
        pick: (time, place) => pick(table.steps[time], table.variables[place]),
      });
    });
  const figures = shownRuns.map(({run, table}) => {
    const map = maps.find((each) => each.run === run);
    return figure(run, table, width, map?.root ?? element('p', {class: 'nothing', text: nothing}));
  });
  container.append(element('div', {class: 'panels'}, ...figures));
  paintWhatIsSeen(maps);
  return ({step}) => maps.forEach((map) => map.move(nearest(map.table.steps, step)));
}

function figure(run, table, width, content) {
  const title = element('h3', {}, element('span', {class: 'swatch', color: runColor(run.color)}), run.run);
  const isThinned = table.steps.length < table.num_steps;
  const text = isThinned ? `${table.steps.length} of ${stepText(table.num_steps)} logged steps` : '';
  const made = element('figure', {'data-run': run.run}, title, content, element('figcaption', {text}));
  made.style.width = `${width}px`;
  return made;
}

const painters = new WeakMap();

/** Paints at once what is in sight, so that nothing flickers, and the rest when it comes near. */
function paintWhatIsSeen(maps) {
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

/** Paints a panel, also one that is not seen, as for a picture that is saved. */
export function paintNow(root) {
  painters.get(root)?.paint();
}

/** What to say where a run has nothing to show. */
export function missing(view) {
  if (view.statistic.startsWith('activation')) {
    return 'Not logged in this run. GradientLogger(…, activations=x[:100]) logs it.';
  }
  return `This run has no ${view.statisticName} here.`;
}
