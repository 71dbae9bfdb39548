/** The films that are rated: their stars can be changed, and they can be taken out. */

import { byId, make } from './dom.js';
import { Stars } from './stars.js';
import { counted, nameOf } from './words.js';

/** @typedef {import('./words.js').Film} Film */
/** @typedef {{element: HTMLElement, stars: Stars, value: HTMLElement}} Row */

/** The list of ratings, newest last. */
export class Ratings {
  /** @param {import('./store.js').Store} store Has them. */
  constructor(store) {
    this.store = store;
    this.list = byId('rated', HTMLOListElement);
    this.title = byId('rated-title', HTMLElement);
    this.none = byId('rated-none', HTMLElement);
    this.note = byId('rated-note', HTMLElement);
    this.startOver = byId('start-over', HTMLButtonElement);
    this.undoLine = byId('undo-line', HTMLElement);
    this.undoWhat = byId('undo-what', HTMLElement);
    /** @type {Map<number, Row>} */
    this.rows = new Map();
    this.historyLength = Infinity;
    this.everyOneCounts = false;
    this.startOver.addEventListener('click', () => {
      store.clear(`${counted(store.ratings.length, 'rating')} removed.`);
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
   * Tell how many of the newest ratings the model reads.
   * @param {number} count
   * @param {boolean} everyOneCounts Whether the others count in what it is told of each film.
   */
  readsNewest(count, everyOneCounts) {
    this.historyLength = count;
    this.everyOneCounts = everyOneCounts;
    this.show();
  }

  /** Go to the stars of a film in the list. @param {Film} film */
  focus(film) {
    const row = this.rows.get(film.id);
    row?.element.scrollIntoView({ block: 'nearest' });
    row?.stars.slider.focus({ preventScroll: false });
  }

  /** Show the ratings as they are now. */
  show() {
    const { ratings, rated, undoable } = this.store;
    for (const id of this.rows.keys()) if (!this.store.of(id)) this.#drop(id);
    for (const { film } of ratings) if (!this.rows.has(film.id)) this.rows.set(film.id, this.#row(film));
    const unread = Math.max(0, rated.length - this.historyLength);
    const old = new Set(rated.slice(0, unread).map((rating) => rating.film.id));
    for (const [place, { film, stars }] of ratings.entries()) {
      const row = /** @type {Row} */ (this.rows.get(film.id));
      row.stars.show(stars);
      row.value.textContent = stars === null ? '–' : stars.toFixed(1);
      row.element.classList.toggle('old', old.has(film.id));
      row.element.classList.toggle('draft', stars === null);
      if (this.list.children[place] !== row.element) {
        this.list.insertBefore(row.element, this.list.children[place] ?? null);
        this.list.scrollTop = this.list.scrollHeight;
      }
    }
    this.title.textContent = rated.length ? `Your ratings (${rated.length})` : 'Your ratings';
    this.none.hidden = ratings.length > 0;
    this.startOver.hidden = !ratings.length;
    this.undoLine.hidden = !undoable;
    this.undoWhat.textContent = undoable?.what ?? '';
    this.note.hidden = !unread && !this.store.foreign;
    this.note.textContent = this.#said(unread);
  }

  /** @param {number} unread @returns {string} What becomes of older ratings, and of those of other data. */
  #said(unread) {
    const { foreign } = this.store;
    if (foreign) return `${counted(foreign, 'rating')} kept from other films than these ${foreign === 1 ? 'was' : 'were'} dropped.`;
    const one = unread === 1;
    const fate = this.everyOneCounts
      ? `${one ? 'counts' : 'count'} in what it is told of each film`
      : `${one ? 'is' : 'are'} kept, but not read`;
    return `The model reads the newest ${this.historyLength}; the ${counted(unread, 'older one')} above the line ${fate}.`;
  }

  /** @param {Film} film @returns {Row} */
  #row(film) {
    const name = nameOf(film);
    const stars = new Stars(name, (given) => this.store.rate(film, given));
    const value = make('span', { class: 'value', 'aria-hidden': 'true' });
    const remove = make('button', { type: 'button', class: 'remove', 'aria-label': `Remove ${name}` }, '×');
    const element = make(
      'li',
      {},
      make('span', { class: 'name' }, name),
      stars.element,
      value,
      remove,
    );
    remove.addEventListener('click', () => this.#remove(film));
    return { element, stars, value };
  }

  /** Take a film out, and go to the one that follows. @param {Film} film */
  #remove(film) {
    const place = this.store.ratings.findIndex((rating) => rating.film.id === film.id);
    this.store.remove(film, `${nameOf(film)} removed.`);
    const next = this.list.children[Math.min(place, this.list.children.length - 1)];
    const target = next?.querySelector('.remove') ?? byId('undo', HTMLButtonElement);
    /** @type {HTMLElement} */ (target).focus();
  }

  /** @param {number} id */
  #drop(id) {
    this.rows.get(id)?.element.remove();
    this.rows.delete(id);
  }
}
