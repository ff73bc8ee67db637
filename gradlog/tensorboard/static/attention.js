/** Attention: a heat map of heads by layers for each run, at one step. */

import {Scale} from './colors.js';
import {element, shown, stepText} from './dom.js';
import {Heatmap} from './heatmap.js';
import {legend} from './legend.js';
import {FEW, figure, paintWhatIsSeen, panelWidth} from './panels.js';
import {clear} from './plot.js';
import {nearest} from './shape.js';

/** Draws a panel per run; returns a function that draws them at another view's step. */
export function drawAttention(container, answered, view) {
  const filled = answered.filter(({attention}) => attention.steps.length);
  if (!filled.length) {
    container.append(element('p', {class: 'nothing', text: view.isReading ? 'Loading …' : 'No numbers to draw.'}));
    return () => {};
  }
  const {label, is_fraction: isFraction} = view.attentionValues[view.attention];
  const scale = new Scale(filled.map(({attention}) => ofAllSteps(attention)), isFraction);
  const panels = element('div', {class: 'panels'});
  container.append(element('h3', {text: label}), legend(scale, label, false), panels);
  const draw = (step) => drawPanels(panels, filled, scale, {...view, step}, container.clientWidth);
  draw(view.step);
  return ({step}) => {
    clear(panels);
    draw(step);
  };
}

function drawPanels(panels, filled, scale, view, whole) {
  const width = panelWidth(whole, filled.length);
  const maps = filled.map(({run, attention}) => {
    const time = nearest(attention.steps, view.step);
    const table = atStep(attention, time);
    const text = (head, layer) => cellText(run, attention, time, layer, head);
    const {tooltip, say} = view;
    const look = {width, isSmall: filled.length > FEW, scale, step: -1, boxes: [], tooltip, say, text};
    return new Heatmap(run, table, {...look, columns: table.steps.map(String), pick: () => {}});
  });
  const captions = filled.map(({attention}) => {
    const step = stepText(attention.steps[nearest(attention.steps, view.step)]);
    return `layers, from input to output, by heads; step ${step}`;
  });
  panels.append(...maps.map((map, index) => figure(map.run, width, map.root, captions[index])));
  paintWhatIsSeen(maps);
}

function cellText(run, {layers, steps, values}, time, layer, head) {
  const value = shown(values[time][layer][head]);
  return `${run.run} · ${layers[layer]} · head ${head} · step ${stepText(steps[time])} · ${value}`;
}

/** The heads as columns and the layers as rows, as heat maps have steps and variables. */
function atStep({layers, labels, values}, time) {
  const heads = values[time][0]?.map((_, head) => head) ?? [];
  const columns = heads.map((head) => values[time].map((row) => row[head]));
  return {statistic: 'attention', variables: layers, labels, steps: heads, values: columns, marks: new Map()};
}

const flat = new WeakMap();

/** All numbers of a run as the rows of one table; always the same object, so that its extremes are sought once. */
function ofAllSteps(attention) {
  if (!flat.has(attention)) flat.set(attention, {values: attention.values.flat()});
  return flat.get(attention);
}
