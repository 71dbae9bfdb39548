/** A slider that looks like five stars. */

import { draw, make, set } from './dom.js';
import { starsText } from './format.js';

const STAR = 'M12 1.8 15.1 8.6 22.5 9.4 17 14.4 18.5 21.7 12 18 5.5 21.7 7 14.4 1.5 9.4 8.9 8.6Z';
const COUNT = 5;

/** Position of the slider before stars are given. */
const MIDDLE = 3;

/** The rating scale of the data: some editions have no half stars. */
let scale = { min: 0.5, step: 0.5 };

/** @param {import('./api.js').Health['scale']} wanted The scale to use from now on. */
export function useScale(wanted) {
  scale = wanted;
}

/** The control. */
export class StarInput {
  /**
   * @param {string} name Name of the item, for screen readers.
   * @param {(stars: number) => void} give Called with the stars given.
   */
  constructor(name, give) {
    this.give = give;
    /** @type {number | null} */
    this.value = null;
    this.slider = /** @type {HTMLInputElement} */ (
      make('input', {
        type: 'range',
        max: String(COUNT),
        'aria-label': `Stars for ${name}`,
      })
    );
    this.element = make('span', { class: 'stars' }, this.slider, picture());
    this.slider.addEventListener('input', () => this.#paint(Number(this.slider.value)));
    // A click on the current position fires no change event, but gives stars, too.
    for (const kind of ['change', 'click']) this.slider.addEventListener(kind, () => this.#give());
    this.slider.addEventListener('keydown', (event) => this.#key(event));
    this.element.addEventListener('pointermove', (event) => this.#preview(event));
    this.element.addEventListener('pointerleave', () => this.show(this.value));
    this.show(null);
  }

  /** @param {number | null} stars Null shows none. */
  show(stars) {
    this.value = stars;
    set(this.slider, { min: String(scale.min), step: String(scale.step) });
    this.element.style.setProperty('--step', String(scale.step));
    this.slider.value = String(stars ?? MIDDLE);
    this.#paint(stars ?? 0);
    set(this.slider, { 'aria-valuetext': stars === null ? 'no stars yet' : starsText(stars) });
  }

  #give() {
    const stars = Number(this.slider.value);
    this.show(stars);
    this.give(stars);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const digit = /^[1-5]$/.test(event.key);
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
    const steps = Math.ceil((COUNT * (event.clientX - left)) / width / scale.step);
    this.#paint(Math.max(scale.min, steps * scale.step));
  }

  /** @param {number} stars */
  #paint(stars) {
    this.element.style.setProperty('--filled', `${(100 * stars) / COUNT}%`);
    this.element.classList.toggle('given', this.value !== null);
  }
}

/** @returns {SVGElement} Five stars twice: as outlines, and filled up to the stars given. */
function picture() {
  const row = () =>
    Array.from({ length: COUNT }, (_, index) =>
      draw('path', { d: STAR, transform: `translate(${24 * index} 0)` }),
    );
  return draw(
    'svg',
    { viewBox: `0 0 ${24 * COUNT} 24`, 'aria-hidden': 'true' },
    draw('g', { class: 'empty' }, ...row()),
    draw('g', { class: 'full' }, ...row()),
  );
}
