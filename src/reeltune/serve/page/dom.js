/** Creating and finding elements. Content is always set as text: titles are untrusted. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Return a new element.
 *
 * @param {string} tag
 * @param {Record<string, string | boolean | null>} attributes True sets an empty attribute; false and null set none.
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Return a new SVG element.
 *
 * @param {string} tag
 * @param {Record<string, string | boolean | null>} attributes As in {@link make}.
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Set attributes of an element.
 *
 * @param {Element} element
 * @param {Record<string, string | boolean | null>} attributes As in {@link make}.
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? '' : value);
  }
}

/**
 * Return the element with an id.
 *
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind Its class.
 * @returns {Kind}
 * @throws {Error} There is none, or it is of another class.
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

/** @returns {boolean} Whether the visitor prefers reduced motion. */
export function reducedMotion() {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

let timer = 0;

/** Have screen readers announce a text; a text within 150 ms replaces the one before. @param {string} text */
export function announce(text) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    byId('announcement', HTMLElement).textContent = text;
  }, 150);
}
