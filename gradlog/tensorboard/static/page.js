/** Page: puts together what the user has chosen, what the server answers, and the pictures. */

import * as charts from './charts.js';
import {isDark, onThemeChange} from './colors.js';
import {Content} from './content.js';
import {choice, layerChooser, RunChooser, StepSlider} from './controls.js';
import {element} from './dom.js';
import {emptyState} from './empty.js';
import {findingsList, statisticOf} from './findings.js';
import {Frames} from './frames.js';
import {drawHistograms} from './histograms.js';
import {Model} from './model.js';
import {drawHeatmaps, numColumns} from './panels.js';
import * as rows from './rows.js';
import {concerns, ofPart} from './shape.js';
import {onAddressChange, readState, writeState, writeStateSoon} from './state.js';
import {Tooltip} from './tooltip.js';
import {KINDS, viewOf} from './view.js';

const RELOAD = 5000; // milliseconds, at least
const MOST_PICKED = 8;
const MOST_RUNS = 50;
const PARTS = {kernels: 'kernels', biases: 'biases', all: 'all variables'};

export class Page {
  constructor(body) {
    this.model = new Model();
    this.state = readState();
    this.chosenFinding = null;
    this.complaints = [];
    this.isLost = false; // whether the server did not answer
    this.content = new Content(this.model);
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
    this.slider = new StepSlider((step) => this.move(step));
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
      this.chosenFinding = null;
      this.draw();
    });
    let width = window.innerWidth;
    new ResizeObserver(() => {
      if (!window.innerWidth || (window.innerWidth === width && !this.isStale)) return;
      width = window.innerWidth;
      this.draw();
    }).observe(document.body);
    await this.reload(true);
    this.follow();
  }

  /** Draws what is new, for ever; where that takes long, less often. */
  async follow() {
    let pause = RELOAD;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      const begun = Date.now();
      if (this.isSeen()) await this.reload();
      pause = Math.max(RELOAD, 3 * (Date.now() - begun));
    }
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
      const wasLost = this.isLost;
      this.isLost = false;
      if (isNew || isFirst || wasLost) await this.draw();
    } catch (error) {
      if (!this.isLost) this.complain(error);
      this.isLost = true;
    }
  }

  complain(error) {
    this.complaints.push(error.message);
    const others = this.complaints.length > 1 ? ` (and ${this.complaints.length - 1} more)` : '';
    const text = `Not everything could be read: ${this.complaints[0]}${others}`;
    if (this.problem.textContent !== text) this.problem.textContent = text;
    this.problem.hidden = false;
    if (!this.problem.isConnected) this.main.prepend(this.problem);
  }

  change(changed) {
    Object.assign(this.state, changed);
    this.asked = null;
    if ('filter' in changed || 'statistic' in changed || 'part' in changed) this.chosenFinding = null;
    writeState(this.state);
    return this.draw();
  }

  /** Moves the pictures to a step; nothing has to be asked for. */
  move(step) {
    this.state.step = step;
    writeStateSoon(this.state);
    if (!this.shown) return;
    this.shown = {...this.shown, step};
    this.frames.move(this.shown);
  }

  /** Asks for what the choices need and draws it as it comes; only the latest call does, where several overlap. */
  async draw() {
    const turn = ++this.turn;
    this.isStale = !window.innerWidth; // another tab is open: it is drawn when this one is seen again
    if (this.isStale) return;
    this.side.hidden = !this.model.runs.length;
    if (this.side.hidden) {
      this.main.replaceChildren(emptyState());
      return;
    }
    if (!this.main.contains(this.hint)) this.main.replaceChildren(this.problem, this.hint, ...this.frames.roots());
    this.complaints = [];
    const {statistics} = this.model;
    if (!Object.hasOwn(statistics, this.state.statistic)) this.state.statistic = Object.keys(statistics)[0];
    const matching = this.chooser.chosen(this.model.runs, this.state);
    const runs = matching.slice(0, MOST_RUNS);
    const isWanted = () => turn === this.turn;
    await this.content.ask(runs, this.state, numColumns(this.frames.width(), runs.length), {
      isWanted,
      tell: (isOfFindings) => isWanted() && this.show(matching.length, isOfFindings),
      complain: (error) => isWanted() && this.complain(error),
    });
    if (!isWanted()) return;
    this.problem.hidden = !this.complaints.length;
    this.main.dataset.ready = String(turn);
  }

  view() {
    const drawn = viewOf(this.state, this.content.tables, this.chosenFinding);
    return {
      ...drawn,
      statisticName: this.model.statistics[drawn.statistic],
      isReading: Boolean(this.content.progress),
      tooltip: this.tooltip,
      say: (text) => (this.live.textContent = text),
      pick: (step, layer) => this.pick(step, layer),
    };
  }

  pick(step, layer) {
    const picked = this.state.picked.includes(layer) ? this.state.picked : [...this.state.picked, layer];
    this.change({step, layer, picked: picked.slice(-MOST_PICKED)});
  }

  /** Draws what there is, of so many runs that match; where findings alone are new, only them. */
  show(numMatching, isOfFindings) {
    this.showHint(numMatching);
    this.showFindings(this.content.findings);
    if (isOfFindings) return;
    const {tables, histograms} = this.content;
    const view = (this.shown = this.view());
    this.slider.draw(view.steps, Math.max(view.steps.indexOf(view.step), 0));
    this.chooser.draw(this.state);
    this.drawChoices(view);
    this.frames.rows = {
      heatmaps: () => rows.ofTables(tables, view.statistic),
      profile: () => rows.ofProfile(tables, this.shown),
      overTime: () => rows.ofOverTime(tables, view),
      ratios: () => rows.ofRatios(tables),
      histograms: () => rows.ofHistograms(histograms, view),
    };
    this.frames.fill('heatmaps', (content) => drawHeatmaps(content, tables, view));
    this.frames.fill('profile', (content) => charts.drawProfile(content, tables, view));
    this.frames.fill('overTime', (content) => charts.drawOverTime(content, tables, view));
    this.frames.fill('ratios', (content) => charts.drawRatios(content, tables, view));
    this.frames.fill('histograms', (content) => drawHistograms(content, histograms, view));
  }

  showHint(numMatching) {
    const {progress} = this.content;
    const isCut = numMatching > MOST_RUNS;
    this.hint.textContent = [
      progress && `Reading: ${progress}.`,
      isCut && `The first ${MOST_RUNS} of ${numMatching} runs are shown; narrow the filter for others.`,
    ]
      .filter(Boolean)
      .join(' ');
    this.hint.hidden = !this.hint.textContent;
  }

  /** Draws the findings, unless they are as they were: what is unfolded stays so. */
  showFindings(found) {
    const told = found.map(({run, findings}) => [run.run, run.color, findings]);
    const key = JSON.stringify([told, this.chosenFinding, isDark()]);
    if (key === this.findingsKey) return;
    this.findingsKey = key;
    const before = this.main.querySelector('.findings');
    const open = [...(before?.querySelectorAll('details[open]') ?? [])].map((details) => details.dataset.key);
    const list = findingsList(found, this.chosenFinding, open, (run, finding) => this.find(run, finding));
    const scrolled = before?.scrollTop ?? 0;
    this.frames.fill('findings', (content) => content.append(list));
    list.scrollTop = scrolled;
  }

  /** Draws the choices, unless they are as they were: a list that is unfolded stays so. */
  drawChoices(view) {
    const key = JSON.stringify([view.variables, view.picked, view.statistic, view.part, view.layer, view.kind]);
    if (key === this.choicesKey) return;
    this.choicesKey = key;
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
    const asked = (this.asked = {});
    let table;
    try {
      table = await this.model.table(run, statistic, numColumns(this.frames.width(), 1));
    } catch (error) {
      this.complain(error);
      return;
    }
    if (asked !== this.asked) return; // something else was chosen meanwhile
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
