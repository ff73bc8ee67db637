/** Content: what the page shows of the runs, requested part by part and reported as it arrives. */

import {gather} from './gather.js';
import {ofPart} from './shape.js';
import {viewOf} from './view.js';

const SLOW = 300; // milliseconds, after which partial results are shown
const NO_HISTOGRAM = {steps: [], first: 0, counts: [], zeros: [], num_steps: 0};

export class Content {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.parts = new WeakMap();
    this.tables = []; // {run, table} of each run
    this.histograms = []; // {run, histogram}
    this.attention = []; // {run, attention} of each run that has it
    this.findings = []; // {run, findings}
    this.progress = ''; // what is still loading, in words
    this.key = ''; // identifies what the tables show
    this.chosen = ''; // identifies what the histograms show
  }

  /**
   * Requests tables, which show most, then histograms, attention, and findings, which take longest.
   * @param {Array} runs
   * @param {Object} chosen What to show: statistic, part, kind, layer, attention, picked, step.
   * @param {number} steps How many steps of a table fit on the page.
   * @param {Object} calls isWanted(), whether to go on; report(isOfFindings), called when more has arrived, findings
   *   only or anything; complain(error).
   */
  async ask(runs, chosen, steps, {isWanted, report, complain}) {
    const begun = Date.now();
    let isReported = false; // all but the findings
    const about = (things, keep) => ({
      isWanted,
      complain,
      report: (answers, number) => {
        keep(answers);
        this.progress = `${number} of ${runs.length} ${things}`;
        report(things === 'findings' && isReported);
        isReported ||= things === 'findings';
      },
    });
    this.forget(runs, chosen);
    const key = JSON.stringify([runs.map(({run}) => run), chosen.statistic, chosen.part]);
    // If the same is requested again, the drawing stays until everything new has arrived.
    const keepTables = key === this.key ? () => {} : (answers) => ([this.tables, this.key] = [answers, '']);
    const tables = await gather(runs, (run) => this.table(run, chosen, steps), about('runs', keepTables));
    if (!isWanted()) return;
    [this.tables, this.key] = [tables, key];
    const {kind, layer} = viewOf(chosen, tables, null);
    const keepHistograms = (answers) => (this.histograms = answers);
    const histogram = ({run}) => this.histogram(run, kind, layer);
    const histograms = await gather(tables, histogram, about('histograms', keepHistograms));
    if (!isWanted()) return;
    this.histograms = histograms;
    const withAttention = tables.map(({run}) => run).filter((run) => run.has_attention);
    const attention = (run) => this.attentionOf(run, chosen.attention);
    const answers = await gather(withAttention, attention, about('attention', () => {}));
    if (!isWanted()) return;
    this.attention = answers;
    if (Date.now() - begun > SLOW) about('findings', () => {}).report([], 0);
    const keepFindings = (answers) => (this.findings = this.findings.length > answers.length ? this.findings : answers);
    const findings = await gather(tables, ({run}) => this.findingsOf(run), about('findings', keepFindings));
    if (!isWanted()) return;
    [this.findings, this.progress] = [findings, ''];
    report(isReported);
  }

  /** Drops the findings of other runs, and histograms that are no longer chosen. */
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

  /** The chosen part of a table; always the same object for the same part, so that drawings can be reused. */
  shaped(table, part) {
    if (!this.parts.has(table)) this.parts.set(table, {});
    return (this.parts.get(table)[part] ??= ofPart(table, part));
  }

  async histogram(run, kind, layer) {
    return {run, histogram: layer ? await this.model.histogramsOf(run, kind, layer) : NO_HISTOGRAM};
  }

  async attentionOf(run, value) {
    return {run, attention: await this.model.attentionOf(run, value)};
  }

  async findingsOf(run) {
    return {run, findings: await this.model.findings(run)};
  }
}
