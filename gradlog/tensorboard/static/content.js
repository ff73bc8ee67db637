/** Content: what the page shows of the runs, asked of the server part by part, and told as it comes. */

import {gather} from './gather.js';
import {layerOf, ofPart} from './shape.js';
import {viewOf} from './view.js';

const SLOW = 300; // milliseconds, after which what is there is told before the rest has come
const NO_HISTOGRAM = {steps: [], first: 0, counts: [], zeros: [], num_steps: 0};

export class Content {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.parts = new WeakMap();
    this.tables = []; // {run, table} of each run
    this.histograms = []; // {run, histogram}
    this.findings = []; // {run, findings}
    this.progress = ''; // what is still to come, in words
    this.key = ''; // of which the tables are
    this.chosen = ''; // of which the histograms are
  }

  /**
   * Asks for tables, which show most, then for histograms, then for findings, which take longest.
   * @param {Array} runs
   * @param {Object} state What the user has chosen.
   * @param {number} steps How many steps of a table can be shown.
   * @param {Object} calls isWanted(), whether to go on; tell(isOfFindings), called when there is more, of findings
   *   alone or of anything; complain(error).
   */
  async ask(runs, state, steps, {isWanted, tell, complain}) {
    const begun = Date.now();
    let isTold = false; // all but the findings
    const about = (things, keep) => ({
      isWanted,
      complain,
      tell: (answers, number) => {
        keep(answers);
        this.progress = `${number} of ${runs.length} ${things}`;
        tell(things === 'findings' && isTold);
        isTold ||= things === 'findings';
      },
    });
    this.forget(runs, state);
    const key = JSON.stringify([runs.map(({run}) => run), state.statistic, state.part]);
    // Where the same is asked for again, what is drawn stays until all that is new is there.
    const keepTables = key === this.key ? () => {} : (answers) => ([this.tables, this.key] = [answers, '']);
    const tables = await gather(runs, (run) => this.table(run, state, steps), about('runs', keepTables));
    if (!isWanted()) return;
    [this.tables, this.key] = [tables, key];
    const {statistic, kind, layer} = viewOf(state, tables, null);
    const keepHistograms = (answers) => (this.histograms = answers);
    const histogram = ({run}) => this.histogram(run, statistic, kind, layer);
    const histograms = await gather(tables, histogram, about('histograms', keepHistograms));
    if (!isWanted()) return;
    this.histograms = histograms;
    if (Date.now() - begun > SLOW) about('findings', () => {}).tell([], 0);
    const keepFindings = (answers) => (this.findings = this.findings.length > answers.length ? this.findings : answers);
    const findings = await gather(tables, ({run}) => this.findingsOf(run), about('findings', keepFindings));
    if (!isWanted()) return;
    [this.findings, this.progress] = [findings, ''];
    tell(isTold);
  }

  /** Forgets the findings of other runs, and histograms of what is no longer chosen. */
  forget(runs, {statistic, part, kind, layer}) {
    const isWanted = ({run}) => runs.some((each) => each.run === run.run);
    this.findings = this.findings.filter(isWanted);
    const chosen = JSON.stringify([statistic, part, kind, layer]);
    this.histograms = chosen === this.chosen ? this.histograms.filter(isWanted) : [];
    this.chosen = chosen;
  }

  async table(run, {statistic, part}, steps) {
    return {run, table: this.shaped(await this.model.table(run, statistic, steps), part)};
  }

  /** The chosen part of a table; the same object for the same, by which pictures are known again. */
  shaped(table, part) {
    if (!this.parts.has(table)) this.parts.set(table, {});
    return (this.parts.get(table)[part] ??= ofPart(table, part));
  }

  async histogram(run, statistic, kind, layer) {
    const isOfLayers = statistic.startsWith('activation_');
    const name = kind === 'activation' ? layerOf(layer) : isOfLayers ? `${layer}/kernel` : layer;
    return {run, histogram: layer ? await this.model.histograms(run, kind, name) : NO_HISTOGRAM};
  }

  async findingsOf(run) {
    return {run, findings: await this.model.findings(run)};
  }
}
