/** Elements: made of tags, attributes and text; anything from a run is inserted as text only. */

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object} attributes Attributes; a function is a listener for the event of that name, `text` is the content.
 * @param {...(Node|string)} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name, value);
    else if (name === 'text') made.textContent = value;
    else if (name === 'color') made.style.setProperty('--color', value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A canvas of a width and height in CSS pixels, sharp on any screen, and its scaled context. */
export function canvas(width, height, attributes = {}) {
  const ratio = window.devicePixelRatio || 1;
  const made = element('canvas', {...attributes, width: Math.round(width * ratio), height: Math.round(height * ratio)});
  made.style.width = `${width}px`;
  made.style.height = `${height}px`;
  const context = made.getContext('2d');
  context.scale(ratio, ratio);
  context.font = '11px Roboto, system-ui, sans-serif';
  return [made, context];
}

/** A number for people: few digits, with an exponent if it is far from one. */
export function shown(value) {
  if (value === null || value === undefined) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 0.001 && size < 10000) return String(Number(value.toPrecision(3)));
  return value
    .toExponential(2)
    .replace(/\.?0+e/, 'e')
    .replace('e+', 'e');
}

/** A step with thousands separators. */
export function stepText(step) {
  return step.toLocaleString('en-US');
}
