/** The films for the visitor, in their order; they move when it changes. */

import { byId, calm, make } from './dom.js';
import { Item } from './item.js';
import { counted, nameOf, percent } from './words.js';

/** @typedef {import('./words.js').Film} Film */
/** @typedef {import('./api.js').Answer} Answer */

const MOVE = { duration: 380, easing: 'cubic-bezier(.2,.7,.2,1)' };
const APPEAR = { duration: 300, easing: 'ease-out' };
const GHOSTS = 5;

/** The list. */
export class List {
  /**
   * @param {(film: Film) => void} seen Called with a film the visitor wants to rate.
   * @param {() => void} unfold Called when the visitor asks why.
   */
  constructor(seen, unfold) {
    this.seen = seen;
    this.unfold = unfold;
    this.list = byId('list', HTMLOListElement);
    this.none = byId('list-none', HTMLElement);
    /** @type {Map<number, Item>} */
    this.items = new Map();
  }

  /** @returns {boolean} Whether the visitor has asked why of a film in the list. */
  get asksWhy() {
    return [...this.items.values()].some((item) => item.why.open);
  }

  /** @returns {number} How many films are in it. */
  get length() {
    return this.items.size;
  }

  /**
   * Show an answer.
   *
   * @param {Answer} answer The films, in their order.
   * @param {boolean} compared Whether the base model was asked too.
   * @returns {string} What has changed, in a sentence.
   */
  show(answer, compared) {
    const told = answer.recommendations;
    const before = new Map([...this.items].map(([id, item]) => [id, item.element.offsetTop]));
    const news = changes([...this.items.values()].map((item) => item.film), told);
    this.items = new Map(told.map(({ film }) => [film.id, this.items.get(film.id) ?? this.#item(film)]));
    this.#place();
    for (const [place, one] of told.entries()) this.items.get(one.film.id)?.show(place + 1, one, compared);
    if (!calm()) this.#move(before);
    this.none.replaceChildren();
    return news;
  }

  /** Show what is to come, where there is nothing yet. */
  ghosts() {
    if (this.items.size) return;
    this.none.replaceChildren();
    this.list.replaceChildren(
      ...Array.from({ length: GHOSTS }, () => make('li', { class: 'item ghost', 'aria-hidden': 'true' })),
    );
  }

  /** Show no films, and why there are none. @param {...Node} instead */
  empty(...instead) {
    this.items.clear();
    this.list.replaceChildren();
    this.none.replaceChildren(...instead);
  }

  /** @param {Film} film */
  #item(film) {
    return new Item(film, this.seen, this.unfold);
  }

  /** Put the items in their order, the focus staying where it was. */
  #place() {
    const focused = document.activeElement;
    const inside = this.list.contains(focused);
    this.list.replaceChildren(...[...this.items.values()].map((item) => item.element));
    if (!inside || !(focused instanceof HTMLElement)) return;
    const stays = this.list.contains(focused) ? focused : byId('films-for-you', HTMLElement);
    stays.focus({ preventScroll: true });
  }

  /** @param {Map<number, number>} before Where each film was. */
  #move(before) {
    for (const [id, { element }] of this.items) {
      const from = before.get(id);
      if (from === undefined) element.animate({ opacity: [0, 1] }, APPEAR);
      else if (from !== element.offsetTop) {
        element.animate({ transform: [`translateY(${from - element.offsetTop}px)`, 'none'] }, MOVE);
      }
    }
  }
}

/**
 * @param {Film[]} before The films shown so far.
 * @param {import('./api.js').Recommendation[]} told Those shown now.
 * @returns {string} What has changed.
 */
function changes(before, told) {
  if (!told.length) return 'No film fits';
  const first = `${nameOf(told[0].film)}, ${percent(told[0].p_like)}`;
  if (!before.length) return `${counted(told.length, 'film')} for you. First: ${first}`;
  const known = new Set(before.map((film) => film.id));
  const fresh = told.filter(({ film }) => !known.has(film.id)).length;
  const same = !fresh && told.every(({ film }, place) => film.id === before[place]?.id);
  if (same) return 'The order stays as it was';
  return `New order. First: ${first}. ${fresh ? `${counted(fresh, 'film')} new` : 'No new films'}`;
}
