/** Elements made and found. Whatever is shown is set as text: titles are untrusted. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Return a new element.
 *
 * @param {string} tag Its name.
 * @param {Record<string, string | boolean | null>} attributes True sets an empty attribute; false and null set none.
 * @param {...(Node | string)} children Elements, or text that is shown as it is.
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Return a new element of a drawing.
 *
 * @param {string} tag Its name.
 * @param {Record<string, string | boolean | null>} attributes As in {@link make}.
 * @param {...Node} children What is in it.
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
 * @param {Element} element Which.
 * @param {Record<string, string | boolean | null>} attributes As in {@link make}.
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? '' : value);
  }
}

/**
 * Return the element of the page that has an id.
 *
 * @template {HTMLElement} Kind
 * @param {string} id Its id.
 * @param {new () => Kind} kind What it is.
 * @returns {Kind}
 * @throws {Error} The page has none, or one of another kind.
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

/** @returns {boolean} Whether the visitor has asked for less movement. */
export function calm() {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

let hush = 0;

/**
 * Say something to those who hear the page.
 *
 * What is said within the same moment replaces what was said before: only the last counts.
 *
 * @param {string} text What to say.
 */
export function say(text) {
  clearTimeout(hush);
  hush = setTimeout(() => {
    byId('said', HTMLElement).textContent = text;
  }, 150);
}
