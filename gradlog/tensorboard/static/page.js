/** Page: puts together what the user has chosen, what the server answers, and the pictures. */

import {isDark, onThemeChange} from './colors.js';
import {choice, layerChooser, RunChooser, StepSlider} from './controls.js';
import {element} from './dom.js';
import {emptyState} from './empty.js';
import {findingsList, statisticOf} from './findings.js';
import {Frames} from './frames.js';
import {Model} from './model.js';
import * as sections from './sections.js';
import {concerns, layerOf, ofPart} from './shape.js';
import {onAddressChange, readState, writeState} from './state.js';
import {Tooltip} from './tooltip.js';
import {KINDS, viewOf} from './view.js';

const RELOAD = 5000; // milliseconds
const MOST_STEPS = 400; // columns of a heat map
const MOST_PICKED = 8;
const MOST_RUNS = 12;
const PARTS = {kernels: 'kernels', biases: 'biases', all: 'all variables'};
export class Page {
  constructor(body) {
    this.model = new Model();
    this.state = readState();
    this.chosenFinding = null;
    this.parts = new WeakMap();
    this.turn = 0;
    this.live = element('div', {class: 'unseen', role: 'status', 'aria-live': 'polite'});
    this.problem = element('p', {class: 'problem', role: 'alert', hidden: true});
    this.side = element('aside', {'aria-label': 'What is shown'});
    this.main = element('main', {});
    body.replaceChildren(this.side, this.main, this.live);
    this.tooltip = new Tooltip(body);
    this.chooser = new RunChooser((change) => this.change(change));
    this.choices = element('div', {});
    this.side.append(this.chooser.root, this.choices);
    this.slider = new StepSlider((step) => this.change({step}));
    this.hint = element('p', {class: 'hint', hidden: true});
    this.frames = new Frames({profile: this.slider.root});
  }

  /** Draws, and goes on drawing what is new. */
  async start() {
    this.dress();
    onThemeChange(() => {
      this.dress();
      this.draw();
    });
    onAddressChange(() => {
      Object.assign(this.state, readState());
      this.draw();
    });
    let width = window.innerWidth;
    new ResizeObserver(() => {
      if (!window.innerWidth || (window.innerWidth === width && !this.isStale)) return;
      width = window.innerWidth;
      this.draw();
    }).observe(document.body);
    await this.reload(true);
    setInterval(() => this.isSeen() && this.reload(), RELOAD);
  }

  isSeen() {
    return document.visibilityState === 'visible' && window.innerWidth > 0;
  }

  dress() {
    document.documentElement.classList.toggle('dark', isDark());
  }

  async reload(isFirst = false) {
    try {
      const isNew = await this.model.reload();
      if (isNew || isFirst) await this.draw();
    } catch (error) {
      this.complain(error);
    }
  }

  complain(error) {
    this.problem.textContent = `Not everything could be read: ${error.message}`;
    this.problem.hidden = false;
    if (!this.problem.isConnected) this.main.prepend(this.problem);
  }

  change(changed) {
    Object.assign(this.state, changed);
    if ('filter' in changed || 'statistic' in changed || 'part' in changed) this.chosenFinding = null;
    writeState(this.state);
    return this.draw();
  }

  /** Fetches what the choices need and draws it; only the latest call does, where several overlap. */
  async draw() {
    const turn = ++this.turn;
    this.isStale = !window.innerWidth; // another tab is open: it is drawn when this one is seen again
    if (this.isStale) return;
    if (!this.model.runs.length) {
      this.side.hidden = true;
      this.main.replaceChildren(emptyState());
      return;
    }
    const {state} = this;
    this.problem.hidden = true;
    if (!Object.hasOwn(this.model.statistics, state.statistic)) state.statistic = Object.keys(this.model.statistics)[0];
    const matching = this.chooser.chosen(this.model.runs, state);
    const fetched = await this.ofEach(matching.slice(0, MOST_RUNS), async (run) => ({
      run,
      table: this.shaped(await this.model.table(run, state.statistic, MOST_STEPS)),
      findings: await this.model.findings(run),
    }));
    const view = this.view(fetched);
    const histograms = await this.ofEach(fetched, ({run}) => this.histogram(run, view));
    if (turn === this.turn) this.show(fetched, view, fetched, histograms, matching.length);
  }

  /** Asks for something of each run; one that cannot be read is said and left out, so that the others are seen. */
  async ofEach(runs, fetchOne) {
    const answers = await Promise.allSettled(runs.map(fetchOne));
    const failed = answers.find(({status}) => status === 'rejected');
    if (failed) this.complain(failed.reason);
    return answers.filter(({status}) => status === 'fulfilled').map(({value}) => value);
  }

  /** The chosen part of a table; the same object for the same, by which pictures are known again. */
  shaped(table) {
    const {part} = this.state;
    if (!this.parts.has(table)) this.parts.set(table, {});
    return (this.parts.get(table)[part] ??= ofPart(table, part));
  }

  async histogram(run, view) {
    const none = {steps: [], first: 0, counts: [], zeros: [], num_steps: 0};
    const isOfLayers = view.statistic.startsWith('activation_');
    const name = view.kind === 'activation' ? layerOf(view.layer) : isOfLayers ? `${view.layer}/kernel` : view.layer;
    return {run, histogram: view.layer ? await this.model.histograms(run, view.kind, name) : none};
  }

  view(shownRuns) {
    const drawn = viewOf(this.state, shownRuns, this.chosenFinding);
    return {
      ...drawn,
      statisticName: this.model.statistics[drawn.statistic],
      tooltip: this.tooltip,
      say: (text) => (this.live.textContent = text),
      pick: (step, layer) => this.pick(step, layer),
    };
  }

  pick(step, layer) {
    const picked = this.state.picked.includes(layer) ? this.state.picked : [...this.state.picked, layer];
    this.change({step, layer, picked: picked.slice(-MOST_PICKED)});
  }

  show(shownRuns, view, found, histograms, numMatching) {
    this.side.hidden = false;
    this.slider.draw(view.steps, Math.max(view.steps.indexOf(view.step), 0));
    this.chooser.draw(this.state);
    this.drawChoices(view);
    if (!this.main.contains(this.hint)) this.main.replaceChildren(this.problem, this.hint, ...this.frames.roots());
    this.hint.hidden = numMatching <= MOST_RUNS;
    this.hint.textContent = `The first ${MOST_RUNS} of ${numMatching} runs are shown; narrow the filter for others.`;
    this.frames.rows = {
      heatmaps: () => sections.tableRows(shownRuns, view.statistic),
      profile: () => sections.profileRows(shownRuns, view),
      overTime: () => sections.overTimeRows(shownRuns, view),
      ratios: () => sections.ratioRows(shownRuns),
      histograms: () => sections.histogramRows(histograms, view),
    };
    this.showFindings(found);
    this.frames.fill('heatmaps', (content) => sections.drawHeatmaps(content, shownRuns, view));
    this.frames.fill('profile', (content) => sections.drawProfile(content, shownRuns, view));
    this.frames.fill('overTime', (content) => sections.drawOverTime(content, shownRuns, view));
    this.frames.fill('ratios', (content) => sections.drawRatios(content, shownRuns, view));
    this.frames.fill('histograms', (content) => sections.drawHistograms(content, histograms, view));
    this.main.dataset.ready = String(this.turn);
  }

  /** Draws the findings, unless they are as they were: what is unfolded stays so. */
  showFindings(found) {
    const told = found.map(({run, findings}) => [run.run, run.color, findings]);
    const key = JSON.stringify([told, this.chosenFinding, isDark()]);
    if (key === this.findingsKey) return;
    this.findingsKey = key;
    const list = findingsList(found, this.chosenFinding, (run, finding) => this.find(run, finding));
    this.frames.fill('findings', (content) => content.append(list));
  }

  drawChoices(view) {
    const focused = [...this.choices.querySelectorAll('select, input, summary')].indexOf(document.activeElement);
    const isOpen = this.choices.querySelector('details')?.open;
    const layers = layerChooser(view.variables, view.picked, (name) => this.togglePicked(view.picked, name));
    if (isOpen !== undefined) layers.open = isOpen;
    const names = Object.fromEntries(view.variables.map((name) => [name, name]));
    this.choices.replaceChildren(
      choice('Statistic', this.model.statistics, view.statistic, (statistic) => this.change({statistic})),
      choice('Variables', PARTS, view.part, (part) => this.change({part})),
      layers,
      choice('Histograms of layer', names, view.layer, (layer) => this.change({layer})),
      choice('Histograms of its', KINDS, view.kind, (kind) => this.change({kind})),
    );
    if (focused >= 0) this.choices.querySelectorAll('select, input, summary')[focused]?.focus();
  }

  togglePicked(picked, name) {
    this.change({picked: picked.includes(name) ? picked.filter((each) => each !== name) : [...picked, name]});
  }

  /** Shows a finding in the pictures: its statistic, its layers, its first step. */
  async find(run, finding) {
    const statistic = statisticOf(finding.code) ?? this.state.statistic;
    const part = finding.where.some((name) => name.endsWith('/bias')) ? 'all' : this.state.part;
    const table = await this.model.table(run, statistic, MOST_STEPS);
    const variables = ofPart(table, part).variables.filter((name) => concerns(finding.where, name));
    const changed = {statistic, part, step: finding.first_step};
    if (finding.where.length && variables.length) {
      Object.assign(changed, {picked: variables.slice(0, MOST_PICKED), layer: variables[0]});
    }
    Object.assign(this.state, changed);
    this.chosenFinding = {run, finding};
    writeState(this.state);
    await this.draw();
    this.frames.scrollTo('heatmaps');
    this.live.textContent = `The pictures show ${finding.name} of ${run.run}.`;
  }
}
