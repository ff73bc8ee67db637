/** State: the user's choices, kept in the address so that a link shows the same. */

const SOON = 200; // milliseconds
const PREFIX = 'p.gradlog.';
// An empty choice stands for the first that the server offers.
const DEFAULTS = {
  filter: '',
  hidden: [],
  statistic: '',
  part: '',
  step: null,
  picked: [],
  layer: '',
  blocks: '', // 'folded', 'unfolded', or as the server says
  turned: [], // blocks that are not as that says
  attention: '',
  kind: '',
};

/** TensorBoard's own window, whose address holds the tab's choices. */
function host() {
  try {
    return window.parent.location.hash === undefined ? window : window.parent;
  } catch {
    return window;
  }
}

function parts() {
  return host().location.hash.replace(/^#/, '').split('&').filter(Boolean);
}

/** Reads the choices from the address; anything malformed or missing gets its default. */
export function readState() {
  const state = structuredClone(DEFAULTS);
  for (const part of parts()) {
    if (!part.startsWith(PREFIX)) continue;
    const [name, ...rest] = part.slice(PREFIX.length).split('=');
    if (!Object.hasOwn(DEFAULTS, name)) continue;
    try {
      const value = decodeURIComponent(rest.join('='));
      if (Array.isArray(DEFAULTS[name])) state[name] = JSON.parse(value).map(String);
      else if (name === 'step') state.step = /^\d+$/.test(value) ? Number(value) : null;
      else state[name] = value;
    } catch {
      continue;
    }
  }
  return state;
}

/** Calls a function when the user changes the tab's choices in the address. */
export function onAddressChange(call) {
  host().addEventListener('hashchange', ({oldURL}) => {
    const wasHere = /^#gradlog(&|$)/.test(new URL(oldURL).hash);
    if (parts()[0] === 'gradlog' && (wasHere || parts().some((part) => part.startsWith(PREFIX)))) call();
  });
}

let writing = null;

/** Writes the choices into the address a moment later: browsers limit how often, as while a slider moves. */
export function writeStateSoon(state) {
  clearTimeout(writing);
  writing = setTimeout(() => writeState(state), SOON);
}

/** Writes the choices that differ from the default into the address, next to those of others. */
export function writeState(state) {
  clearTimeout(writing);
  const others = parts().filter((part) => !part.startsWith(PREFIX));
  if (others[0] && others[0] !== 'gradlog') return;
  const own = Object.keys(DEFAULTS)
    .filter((name) => JSON.stringify(state[name]) !== JSON.stringify(DEFAULTS[name]))
    .map((name) => {
      const value = Array.isArray(state[name]) ? JSON.stringify(state[name]) : String(state[name]);
      return `${PREFIX}${name}=${encodeURIComponent(value)}`;
    });
  const hash = [others[0] ?? 'gradlog', ...others.slice(1), ...own].join('&');
  const {location, history} = host();
  history.replaceState(history.state, '', `${location.pathname}${location.search}#${hash}`);
}
