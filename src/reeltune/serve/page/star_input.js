/** A slider over a picture of its scale: five stars, two thumbs, or a bar. */

import { draw, make, set } from './dom.js';
import { capitalized, ratingWords, words } from './format.js';

const STAR = 'M12 1.8 15.1 8.6 22.5 9.4 17 14.4 18.5 21.7 12 18 5.5 21.7 7 14.4 1.5 9.4 8.9 8.6Z';
const THUMB = 'M2 10h4v11H2Zm6 0 5-8c2 0 3 1 3 3l-1 4h5c2 0 3 1 2.6 3l-1.6 7c-.4 1.4-1.2 2-2.6 2H8Z';
const COUNT = 5;
const WIDTH = 24 * COUNT;

/** The rating scale of the data: some editions have no half stars. */
let scale = { min: 0.5, max: 5, step: 0.5 };

/** @param {import('./api.js').Health['scale']} wanted The scale to use from now on. */
export function useScale(wanted) {
  scale = wanted;
}

/** @returns {number} Number of ratings on the scale. */
function ratingCount() {
  return Math.round((scale.max - scale.min) / scale.step) + 1;
}

/** @param {number} steps @returns {number} The rating so many steps above the lowest. */
function ratingAt(steps) {
  return Number((scale.min + steps * scale.step).toFixed(6));
}

/** @returns {boolean} Whether a rating is a like or its opposite. */
function areLikes() {
  return scale.min === 0 && ratingCount() === 2;
}

/** The control. */
export class StarInput {
  /**
   * @param {string} name Name of the item, for screen readers.
   * @param {(rating: number) => void} give Called with the rating given.
   */
  constructor(name, give) {
    this.give = give;
    /** @type {number | null} */
    this.value = null;
    this.slider = /** @type {HTMLInputElement} */ (
      make('input', { type: 'range', 'aria-label': `${capitalized(words().noun)} for ${name}` })
    );
    this.element = make('span', { class: 'stars' }, this.slider, picture());
    this.slider.addEventListener('input', () => this.#paint(Number(this.slider.value)));
    // A click on the current position fires no change event, but gives a rating, too.
    for (const kind of ['change', 'click']) this.slider.addEventListener(kind, () => this.#give());
    this.slider.addEventListener('keydown', (event) => this.#key(event));
    this.element.addEventListener('pointermove', (event) => this.#preview(event));
    this.element.addEventListener('pointerleave', () => this.show(this.value));
    this.show(null);
  }

  /** @param {number | null} rating Null shows none. */
  show(rating) {
    this.value = rating;
    set(this.slider, { min: String(scale.min), max: String(scale.max), step: String(scale.step) });
    this.element.style.setProperty('--step', String(COUNT / ratingCount()));
    this.slider.value = String(rating ?? ratingAt(Math.floor(ratingCount() / 2)));
    this.#paint(rating);
    const text = rating === null ? `no ${words().noun} yet` : ratingWords(rating).said;
    set(this.slider, { 'aria-valuetext': text });
  }

  #give() {
    const rating = Number(this.slider.value);
    this.show(rating);
    this.give(rating);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const digit = /^\d$/.test(event.key) && Number(event.key) >= scale.min && Number(event.key) <= scale.max;
    const confirmed = event.key === 'Enter' || event.key === ' ';
    if (!digit && !confirmed) return;
    event.preventDefault();
    if (digit) this.slider.value = event.key;
    this.#give();
  }

  /** @param {PointerEvent} event */
  #preview(event) {
    if (event.pointerType !== 'mouse' || event.buttons) return;
    const { left, width } = this.element.getBoundingClientRect();
    const steps = Math.ceil((ratingCount() * (event.clientX - left)) / width) - 1;
    this.#paint(ratingAt(Math.min(Math.max(steps, 0), ratingCount() - 1)));
  }

  /** @param {number | null} rating */
  #paint(rating) {
    const share = (/** @type {number} */ steps) => `${(100 * steps) / ratingCount()}%`;
    const steps = rating === null ? 0 : (rating - scale.min) / scale.step + 1;
    this.element.style.setProperty('--filled', share(steps));
    this.element.style.setProperty('--from', areLikes() && steps ? share(steps - 1) : '0%');
    this.element.classList.toggle('given', this.value !== null);
  }
}

/** @returns {SVGElement} The scale twice: as outlines, and filled up to the rating given. */
function picture() {
  return draw(
    'svg',
    { viewBox: `0 0 ${WIDTH} 24`, 'aria-hidden': 'true' },
    draw('g', { class: 'empty' }, ...shapes()),
    draw('g', { class: 'full' }, ...shapes()),
  );
}

/** @returns {SVGElement[]} */
function shapes() {
  if (areLikes()) {
    const middles = [WIDTH / 4, (3 * WIDTH) / 4];
    return middles.map((x, index) =>
      draw('path', { d: THUMB, transform: `translate(${x} 12) rotate(${index ? 0 : 180}) translate(-12 -12)` }),
    );
  }
  if (words().noun !== 'stars' || scale.min !== scale.step || scale.max !== COUNT) {
    return [draw('rect', { x: '1', y: '6', width: String(WIDTH - 2), height: '12', rx: '3' })];
  }
  return Array.from({ length: COUNT }, (_, index) =>
    draw('path', { d: STAR, transform: `translate(${24 * index} 0)` }),
  );
}
