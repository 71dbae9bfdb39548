/** The visitor's ratings, which can be changed and removed. */

import { byId, make } from './dom.js';
import { countText, itemName, ratingWords } from './format.js';
import { StarInput } from './star_input.js';

/** @typedef {import('./format.js').Item} Item */
/** @typedef {{element: HTMLElement, stars: StarInput, value: HTMLElement}} Row */

/** The list of ratings, newest last. */
export class RatingList {
  /** @param {import('./store.js').Store} store */
  constructor(store) {
    this.store = store;
    this.list = byId('rated', HTMLOListElement);
    this.title = byId('rated-title', HTMLElement);
    this.none = byId('rated-none', HTMLElement);
    this.note = byId('rated-note', HTMLElement);
    this.startOver = byId('start-over', HTMLButtonElement);
    this.undoLine = byId('undo-line', HTMLElement);
    this.undoMessage = byId('undo-message', HTMLElement);
    /** @type {Map<Item['item_id'], Row>} */
    this.rows = new Map();
    this.historyLength = Infinity;
    this.usesAllRatings = false;
    this.startOver.addEventListener('click', () => {
      store.clear(`${countText(store.ratings.length, 'rating')} removed.`);
      byId('undo', HTMLButtonElement).focus();
    });
    byId('undo', HTMLButtonElement).addEventListener('click', () => {
      store.undo();
      this.list.focus();
    });
    store.addEventListener('ratings', () => this.show());
    this.show();
  }

  /**
   * @param {number} length How many of the newest ratings the prompt shows.
   * @param {boolean} usesAllRatings Whether older ratings count in the signals.
   */
  setHistory(length, usesAllRatings) {
    this.historyLength = length;
    this.usesAllRatings = usesAllRatings;
    // Rows that were made before the scale and its words were known are made again.
    for (const id of this.rows.keys()) this.#drop(id);
    this.show();
  }

  /** Focus the stars of an item in the list. @param {Item} item */
  focus(item) {
    const row = this.rows.get(item.item_id);
    row?.element.scrollIntoView({ block: 'nearest' });
    row?.stars.slider.focus({ preventScroll: false });
  }

  /** Show the ratings as they are now. */
  show() {
    const { ratings, rated, removed } = this.store;
    for (const id of this.rows.keys()) if (!this.store.get(id)) this.#drop(id);
    for (const { item } of ratings) if (!this.rows.has(item.item_id)) this.rows.set(item.item_id, this.#row(item));
    const unread = Math.max(0, rated.length - this.historyLength);
    const old = new Set(rated.slice(0, unread).map(({ item }) => item.item_id));
    for (const [index, { item, rating }] of ratings.entries()) {
      const row = /** @type {Row} */ (this.rows.get(item.item_id));
      row.stars.show(rating);
      row.value.textContent = rating === null ? '–' : ratingWords(rating).label;
      row.element.classList.toggle('old', old.has(item.item_id));
      row.element.classList.toggle('draft', rating === null);
      if (this.list.children[index] !== row.element) {
        this.list.insertBefore(row.element, this.list.children[index] ?? null);
        this.list.scrollTop = this.list.scrollHeight;
      }
    }
    this.title.textContent = rated.length ? `Your ratings (${rated.length})` : 'Your ratings';
    this.none.hidden = ratings.length > 0;
    this.startOver.hidden = !ratings.length;
    this.undoLine.hidden = !removed;
    this.undoMessage.textContent = removed?.message ?? '';
    this.note.hidden = !unread && !this.store.dropped;
    this.note.textContent = this.#noteText(unread);
  }

  /** @param {number} unread @returns {string} What happens to older ratings, and to those of other data. */
  #noteText(unread) {
    const { dropped } = this.store;
    if (dropped) return `${countText(dropped, 'rating')} of another data set ${dropped === 1 ? 'was' : 'were'} dropped.`;
    const one = unread === 1;
    const use = this.usesAllRatings
      ? `${one ? 'counts' : 'count'} only in the statistics it gets`
      : `${one ? 'is' : 'are'} saved, but not used`;
    return `The model reads the newest ${this.historyLength}; the ${countText(unread, 'older one')} above the line ${use}.`;
  }

  /** @param {Item} item @returns {Row} */
  #row(item) {
    const name = itemName(item);
    const stars = new StarInput(name, (rating) => this.store.rate(item, rating));
    const value = make('span', { class: 'value', 'aria-hidden': 'true' });
    const remove = make('button', { type: 'button', class: 'remove', 'aria-label': `Remove ${name}` }, '×');
    remove.addEventListener('click', () => this.#remove(item));
    const element = make('li', {}, make('span', { class: 'name' }, name), stars.element, value, remove);
    return { element, stars, value };
  }

  /** Remove an item, and focus the next one. @param {Item} item */
  #remove(item) {
    const index = this.store.ratings.findIndex((entry) => entry.item.item_id === item.item_id);
    this.store.remove(item, `${itemName(item)} removed.`);
    const next = this.list.children[Math.min(index, this.list.children.length - 1)];
    const target = next?.querySelector('.remove') ?? byId('undo', HTMLButtonElement);
    /** @type {HTMLElement} */ (target).focus();
  }

  /** @param {Item['item_id']} id */
  #drop(id) {
    this.rows.get(id)?.element.remove();
    this.rows.delete(id);
  }
}
