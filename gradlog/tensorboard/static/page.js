/** Page: combines the user's choices, the server's answers and the charts. */

import {drawAttention} from './attention.js';
import * as charts from './charts.js';
import {Choices} from './choices.js';
import {isDark, onThemeChange} from './colors.js';
import {Content} from './content.js';
import {RunChooser, StepSlider} from './controls.js';
import {element} from './dom.js';
import {emptyState} from './empty.js';
import {findingsList} from './findings.js';
import {Folder, turnedAround} from './folder.js';
import {hasBlocks} from './folding.js';
import {Frames} from './frames.js';
import {drawHistograms} from './histograms.js';
import {Model} from './model.js';
import {drawHeatmaps, numColumns} from './panels.js';
import * as rows from './rows.js';
import {concerns, ofPart} from './shape.js';
import {onAddressChange, readState, writeState, writeStateSoon} from './state.js';
import {Tooltip} from './tooltip.js';
import {viewOf} from './view.js';

const RELOAD = 5000; // milliseconds, at least
const MAX_PICKED = 8; // layers over time
const MAX_RUNS = 50;

export class Page {
  constructor(body) {
    this.model = new Model();
    this.state = readState();
    this.chosenFinding = null;
    this.complaints = [];
    this.isLost = false; // whether the server stopped answering
    this.content = new Content(this.model);
    this.turn = 0;
    this.live = element('div', {class: 'unseen', role: 'status', 'aria-live': 'polite'});
    this.problem = element('p', {class: 'problem', role: 'alert', hidden: true});
    this.side = element('aside', {'aria-label': 'Display options'});
    this.main = element('main', {});
    body.replaceChildren(this.side, this.main, this.live);
    this.tooltip = new Tooltip(body);
    this.chooser = new RunChooser((change) => this.change(change));
    this.choices = new Choices((change) => this.change(change));
    this.side.append(this.chooser.root, this.choices.root);
    this.slider = new StepSlider((step) => this.move(step));
    this.hint = element('p', {class: 'hint', hidden: true});
    this.folder = new Folder((change) => this.change(change));
    this.frames = new Frames({profile: this.slider.root, heatmaps: this.folder.root});
  }

  /** Draws the page, and keeps drawing what is new. */
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

  /** Draws what is new, for ever; less often if that takes long. */
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
    const text = `Some data could not be loaded: ${this.complaints[0]}${others}`;
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

  /** Moves the charts to a step, without a request. */
  move(step) {
    this.state.step = step;
    writeStateSoon(this.state);
    if (!this.shown) return;
    this.shown = {...this.shown, step};
    this.frames.move(this.shown);
  }

  /** Requests what the choices need and draws it as it arrives; of overlapping calls, only the latest draws. */
  async draw() {
    const turn = ++this.turn;
    this.isStale = !window.innerWidth; // another tab is open; draw when this one is visible again
    if (this.isStale) return;
    this.side.hidden = !this.model.runs.length;
    if (this.side.hidden) {
      this.main.replaceChildren(emptyState());
      return;
    }
    if (!this.main.contains(this.hint)) this.main.replaceChildren(this.problem, this.hint, ...this.frames.roots());
    this.complaints = [];
    const matching = this.chooser.chosen(this.model.runs, this.state);
    const runs = matching.slice(0, MAX_RUNS);
    const isWanted = () => turn === this.turn;
    await this.content.ask(runs, this.chosen(), numColumns(this.frames.width(), runs.length), {
      isWanted,
      report: (isOfFindings) => isWanted() && this.show(matching.length, isOfFindings),
      complain: (error) => isWanted() && this.complain(error),
    });
    if (!isWanted()) return;
    this.problem.hidden = !this.complaints.length;
    this.main.dataset.ready = String(turn);
  }

  /** The user's choices; the first of what can be chosen stands in for anything missing or unknown. */
  chosen() {
    const {statistics, parts, histograms, attention} = this.model;
    const {statistic, part, kind} = this.state;
    return {
      ...this.state,
      statistic: orFirst(statistic, statistics),
      part: orFirst(part, parts),
      kind: orFirst(kind, histograms),
      attention: orFirst(this.state.attention, attention),
    };
  }

  view() {
    const drawn = viewOf(this.chosen(), this.content.tables, this.chosenFinding);
    const {label, is_fraction: isFraction, is_of_layers: isOfLayers} = this.model.statistics[drawn.statistic];
    return {
      ...drawn,
      statisticName: label,
      isFraction,
      isOfLayers,
      kindName: this.model.histograms[drawn.kind].label,
      isKindOfLayers: this.model.histograms[drawn.kind].is_of_layers,
      attentionValues: this.model.attention,
      isReading: Boolean(this.content.progress),
      tooltip: this.tooltip,
      say: (text) => (this.live.textContent = text),
      pick: (step, layer) => this.pick(step, layer),
      turn: (block) => this.turnAround(block),
    };
  }

  pick(step, layer) {
    const picked = this.state.picked.includes(layer) ? this.state.picked : [...this.state.picked, layer];
    this.change({step, layer, picked: picked.slice(-MAX_PICKED)});
  }

  /** Folds a block, or unfolds it; nothing has to be requested. */
  turnAround(block) {
    Object.assign(this.state, turnedAround(block, this.state));
    writeState(this.state);
    this.shown = {...this.shown, turned: this.state.turned};
    this.frames.fill('heatmaps', (content) => drawHeatmaps(content, this.content.tables, this.shown));
  }

  /** Draws what has arrived for so many matching runs; only the findings if nothing else is new. */
  show(numMatching, isOfFindings) {
    this.showHint(numMatching);
    this.showFindings(this.content.findings);
    if (isOfFindings) return;
    const {tables, histograms, attention} = this.content;
    const view = (this.shown = this.view());
    this.slider.draw(view.steps, Math.max(view.steps.indexOf(view.step), 0));
    this.chooser.draw(this.state);
    this.choices.draw(view, this.model, attention.length > 0);
    this.frames.rows = {
      heatmaps: () => rows.ofTables(tables, view.statistic),
      profile: () => rows.ofProfile(tables, this.shown),
      overTime: () => rows.ofOverTime(tables, view),
      attention: () => rows.ofAttention(attention, view.attention),
      ratios: () => rows.ofRatios(tables),
      histograms: () => rows.ofHistograms(histograms, view),
    };
    this.folder.draw(tables.some(({table}) => hasBlocks(table)));
    this.frames.show('attention', attention.length > 0);
    this.frames.fill('heatmaps', (content) => drawHeatmaps(content, tables, view));
    this.frames.fill('profile', (content) => charts.drawProfile(content, tables, view));
    this.frames.fill('attention', (content) => drawAttention(content, attention, view));
    this.frames.fill('overTime', (content) => charts.drawOverTime(content, tables, view));
    this.frames.fill('ratios', (content) => charts.drawRatios(content, tables, view));
    this.frames.fill('histograms', (content) => drawHistograms(content, histograms, view));
  }

  showHint(numMatching) {
    const {progress} = this.content;
    const isCut = numMatching > MAX_RUNS;
    this.hint.textContent = [
      progress && `Loading: ${progress}.`,
      isCut && `Showing the first ${MAX_RUNS} of ${numMatching} runs; filter the runs to see others.`,
    ]
      .filter(Boolean)
      .join(' ');
    this.hint.hidden = !this.hint.textContent;
  }

  /** Draws the findings if they have changed; expanded ones stay expanded. */
  showFindings(found) {
    const listed = found.map(({run, findings}) => [run.run, run.color, findings]);
    const key = JSON.stringify([listed, this.chosenFinding, isDark()]);
    if (key === this.findingsKey) return;
    this.findingsKey = key;
    const before = this.main.querySelector('.findings');
    const open = [...(before?.querySelectorAll('details[open]') ?? [])].map((details) => details.dataset.key);
    const list = findingsList(found, this.chosenFinding, open, (run, finding) => this.find(run, finding));
    const scrolled = before?.scrollTop ?? 0;
    this.frames.fill('findings', (content) => content.append(list));
    list.scrollTop = scrolled;
  }

  /** Shows a finding in the charts: its statistic, its layers, its first step. */
  async find(run, finding) {
    const chosen = this.chosen();
    const statistic = finding.statistic ?? chosen.statistic;
    const asked = (this.asked = {});
    let table;
    try {
      table = await this.model.table(run, statistic, numColumns(this.frames.width(), 1));
    } catch (error) {
      this.complain(error);
      return;
    }
    if (asked !== this.asked) return; // something else was chosen in the meantime
    const part = partWith(table, finding, chosen.part);
    const variables = ofPart(table, part).variables.filter((name) => concerns(finding.where, name));
    const changed = {statistic, part, step: finding.first_step};
    if (finding.where.length && variables.length) {
      Object.assign(changed, {picked: variables.slice(0, MAX_PICKED), layer: variables[0]});
    }
    Object.assign(this.state, changed);
    this.chosenFinding = {run, finding};
    writeState(this.state);
    await this.draw();
    this.frames.scrollTo('heatmaps');
    this.live.textContent = `The charts show ${finding.name} in ${run.run}.`;
  }
}

function orFirst(name, choices) {
  return Object.hasOwn(choices, name) ? name : Object.keys(choices)[0];
}

/** The chosen part of the variables, or all of them if the finding names a variable outside of that part. */
function partWith(table, {where}, part) {
  const {variables} = ofPart(table, part);
  return where.some((name) => table.variables.includes(name) && !variables.includes(name)) ? 'all' : part;
}
