/** Often rated items, to rate at once. */

import { findItems } from './api.js';
import { byId, make } from './dom.js';
import { genreText, itemName } from './format.js';
import { StarInput } from './star_input.js';

/** @typedef {import('./format.js').Item} Item */
/** @typedef {{item: Item, stars: StarInput, element: HTMLElement}} Frame */

const FRAMES = 6;
const LIMIT = 50;

/** A strip of frames, each with an item that is not rated yet. */
export class Carousel {
  /** @param {import('./store.js').Store} store */
  constructor(store) {
    this.store = store;
    this.list = byId('carousel', HTMLUListElement);
    this.others = byId('others', HTMLButtonElement);
    /** @type {Item[]} */
    this.items = [];
    this.next = 0;
    /** @type {Frame[]} */
    this.frames = [];
    this.others.addEventListener('click', () => this.#fill());
    store.addEventListener('ratings', () => this.#update());
    this.list.replaceChildren(
      ...Array.from({ length: FRAMES }, () => make('li', { class: 'frame skeleton', 'aria-hidden': 'true' })),
    );
  }

  /**
   * Load the items.
   *
   * @throws {import('./api.js').ServiceError}
   */
  async load() {
    this.items = await findItems('', LIMIT);
    this.next = 0;
    this.list.setAttribute('aria-busy', 'false');
    this.others.disabled = false;
    this.#fill();
  }

  /** @returns {number} Number of ratings of the most rated item. */
  get mostRatings() {
    return Math.max(0, ...this.items.map((item) => item.ratings));
  }

  #fill() {
    /** @type {Item[]} */
    const chosen = [];
    while (chosen.length < FRAMES) {
      const item = this.#nextItem(chosen);
      if (!item) break;
      chosen.push(item);
    }
    this.frames = chosen.map((item) => this.#frame(item));
    this.list.replaceChildren(...this.frames.map((frame) => frame.element));
    this.list.scrollLeft = 0;
  }

  /** Return the next unrated item that is not shown, starting over at the end. @param {Item[]} shown */
  #nextItem(shown) {
    for (let tried = 0; tried < this.items.length; tried++) {
      const item = this.items[this.next];
      this.next = (this.next + 1) % this.items.length;
      if (!this.store.get(item.item_id) && !shown.includes(item)) return item;
    }
    return null;
  }

  /** @param {Item} item @returns {Frame} */
  #frame(item) {
    const stars = new StarInput(itemName(item), (rating) => this.store.rate(item, rating));
    const about = [item.year === null ? '' : String(item.year), genreText(item)];
    const element = make(
      'li',
      { class: 'frame' },
      make('h3', {}, item.title || 'Untitled'),
      make('p', { class: 'soft small' }, about.filter(Boolean).join(' · ')),
      stars.element,
    );
    element.addEventListener('focusout', () => {
      // When the whole window loses the focus, document.activeElement stays.
      if (!element.contains(document.activeElement)) this.#replace(item);
    });
    return { item, stars, element };
  }

  #update() {
    for (const { item, stars } of this.frames) {
      const rating = this.store.get(item.item_id)?.rating ?? null;
      if (rating !== stars.value) stars.show(rating);
    }
  }

  /** Replace an item that was rated and has lost the focus. @param {Item} item */
  #replace(item) {
    if (this.store.get(item.item_id)?.rating == null) return;
    const index = this.frames.findIndex((frame) => frame.item.item_id === item.item_id);
    const other = this.#nextItem(this.frames.map((frame) => frame.item));
    if (index < 0 || !other) return;
    const { element } = this.frames[index];
    this.frames[index] = this.#frame(other);
    element.replaceWith(this.frames[index].element);
  }
}
