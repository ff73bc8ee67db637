/** Model: asks the server, and caches the answers until a run goes on. */

const MAX_KEPT = 400; // answers
const DATA = new URL('./data/', import.meta.url);

async function ask(route, parameters) {
  const url = new URL(route, DATA);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const response = await fetch(url);
  const isJson = response.headers.get('Content-Type')?.startsWith('application/json');
  const content = isJson ? await response.json() : {error: `The server answered ${response.status}`};
  if (!response.ok || !isJson) throw new Error(content.error);
  return content;
}

export class Model {
  constructor() {
    this.answers = new Map();
    this.runs = [];
    this.statistics = {}; // {label, is_fraction, is_of_layers} by name
    this.parts = {}; // labels of groups of variables, by name
    this.histograms = {}; // {label, is_of_layers} of kinds of histograms, by name
    this.attention = {}; // {label, is_fraction} of what is known of a head, by name
  }

  /** Asks for the runs and what can be shown of them; returns whether anything is new. */
  async reload() {
    const {runs, ...choices} = await ask('runs', {});
    const isNew = JSON.stringify(runs) !== JSON.stringify(this.runs) || !Object.keys(this.statistics).length;
    Object.assign(this, {runs, ...choices});
    return isNew;
  }

  /** One statistic of a run, as http_api.md describes it. */
  table(run, statistic, steps) {
    return this.remembered('table', run, {statistic, max_steps: steps});
  }

  /** The histograms of a variable or a layer of a run over the steps. */
  histogramsOf(run, kind, variable) {
    return this.remembered('histograms', run, {kind, variable, max_steps: 200});
  }

  /** One value of the heads of a run over the steps. */
  attentionOf(run, value) {
    return this.remembered('attention', run, {value, max_steps: 200});
  }

  /** The findings of a run, worst first. */
  async findings(run) {
    return (await this.remembered('findings', run, {})).findings;
  }

  remembered(route, run, parameters) {
    const version = `${run.last_step} ${run.wall_time}`;
    const key = JSON.stringify([route, run.run, parameters]);
    const kept = this.answers.get(key);
    if (kept && kept.version === version) return kept.answer;
    const answer = ask(route, {run: run.run, ...parameters});
    answer.catch(() => this.answers.delete(key));
    this.keep(key, {version, answer});
    return answer;
  }

  /** Caches an answer, and drops the oldest ones. */
  keep(key, answer) {
    this.answers.delete(key);
    this.answers.set(key, answer);
    while (this.answers.size > MAX_KEPT) this.answers.delete(this.answers.keys().next().value);
  }
}
