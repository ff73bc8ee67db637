/** Model: asks the server, and remembers the answers for as long as a run has not gone on. */

const MOST_KEPT = 400; // answers
const DATA = new URL('./data/', import.meta.url);

async function ask(route, parameters) {
  const url = new URL(route, DATA);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const response = await fetch(url);
  const isJson = response.headers.get('Content-Type')?.startsWith('application/json');
  const content = isJson ? await response.json() : {error: `the server answered ${response.status}`};
  if (!response.ok || !isJson) throw new Error(content.error);
  return content;
}

export class Model {
  constructor() {
    this.answers = new Map();
    this.runs = [];
    this.statistics = {};
  }

  /** Asks which runs there are; returns whether anything is new. */
  async reload() {
    const {runs, statistics} = await ask('runs', {});
    const isNew = JSON.stringify(runs) !== JSON.stringify(this.runs) || !Object.keys(this.statistics).length;
    [this.runs, this.statistics] = [runs, statistics];
    return isNew;
  }

  /** One statistic of a run: variables, steps, values [step][variable], nonfinite. */
  table(run, statistic, steps) {
    return this.remembered('table', run, {statistic, max_steps: steps});
  }

  /** A histogram of a run over the steps. */
  histograms(run, kind, variable) {
    return this.remembered('histograms', run, {kind, variable, max_steps: 200});
  }

  /** What is wrong with a run, worst first. */
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

  /** Keeps an answer, and forgets what was asked for longest ago. */
  keep(key, answer) {
    this.answers.delete(key);
    this.answers.set(key, answer);
    while (this.answers.size > MOST_KEPT) this.answers.delete(this.answers.keys().next().value);
  }
}
