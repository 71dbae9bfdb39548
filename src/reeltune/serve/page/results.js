/** The list of recommendations, best first; entries move when their order changes. */

import { Card } from './card.js';
import { byId, make, reducedMotion } from './dom.js';
import { itemCount, itemName, percent } from './format.js';

/** @typedef {import('./format.js').Item} Item */
/** @typedef {import('./api.js').Recommendation} Recommendation */

const MOVE = { duration: 380, easing: 'cubic-bezier(.2,.7,.2,1)' };
const APPEAR = { duration: 300, easing: 'ease-out' };
const SKELETONS = 5;

/** The list. */
export class ResultList {
  /**
   * @param {(item: Item) => void} rate Called with an item the visitor wants to rate.
   * @param {() => void} explain Called when the visitor asks for reasons.
   */
  constructor(rate, explain) {
    this.rate = rate;
    this.explain = explain;
    this.list = byId('list', HTMLOListElement);
    this.none = byId('list-none', HTMLElement);
    /** @type {Map<Item['item_id'], Card>} */
    this.cards = new Map();
  }

  /** @returns {boolean} Whether the reasons of any entry are open. */
  get showsReasons() {
    return [...this.cards.values()].some((card) => card.details.open);
  }

  /** @returns {number} Number of entries. */
  get length() {
    return this.cards.size;
  }

  /**
   * Show recommendations.
   *
   * @param {Recommendation[]} recommendations
   * @param {boolean} compared Whether the base model's probabilities are shown.
   * @returns {string} What has changed, for screen readers.
   */
  show(recommendations, compared) {
    const before = new Map([...this.cards].map(([id, card]) => [id, card.element.offsetTop]));
    const summary = changes([...this.cards.keys()], recommendations);
    this.cards = new Map(
      recommendations.map(({ item }) => [
        item.item_id,
        this.cards.get(item.item_id) ?? new Card(item, this.rate, this.explain),
      ]),
    );
    this.#placeCards();
    for (const [index, recommendation] of recommendations.entries()) {
      this.cards.get(recommendation.item.item_id)?.show(index + 1, recommendation, compared);
    }
    if (!reducedMotion()) this.#animate(before);
    this.none.replaceChildren();
    return summary;
  }

  /** Show placeholders if the list is empty. */
  showSkeleton() {
    if (this.cards.size) return;
    this.none.replaceChildren();
    this.list.replaceChildren(
      ...Array.from({ length: SKELETONS }, () => make('li', { class: 'card skeleton', 'aria-hidden': 'true' })),
    );
  }

  /** Empty the list and show something in its place. @param {...Node} instead */
  clear(...instead) {
    this.cards.clear();
    this.list.replaceChildren();
    this.none.replaceChildren(...instead);
  }

  /** Put the cards in order without losing the focus. */
  #placeCards() {
    const focused = document.activeElement;
    const inside = this.list.contains(focused);
    this.list.replaceChildren(...[...this.cards.values()].map((card) => card.element));
    if (!inside || !(focused instanceof HTMLElement)) return;
    const target = this.list.contains(focused) ? focused : byId('for-you', HTMLElement);
    target.focus({ preventScroll: true });
  }

  /** @param {Map<Item['item_id'], number>} before Vertical position of each item before. */
  #animate(before) {
    for (const [id, { element }] of this.cards) {
      const from = before.get(id);
      if (from === undefined) element.animate({ opacity: [0, 1] }, APPEAR);
      else if (from !== element.offsetTop) {
        element.animate({ transform: [`translateY(${from - element.offsetTop}px)`, 'none'] }, MOVE);
      }
    }
  }
}

/**
 * @param {number[]} before Ids of the items shown so far.
 * @param {Recommendation[]} after
 * @returns {string} What has changed.
 */
function changes(before, after) {
  const first = `${itemName(after[0].item)}, ${percent(after[0].p_like)}`;
  if (!before.length) return `${itemCount(after.length)} for you. First: ${first}`;
  const added = after.filter(({ item }) => !before.includes(item.item_id)).length;
  const same = !added && after.every(({ item }, index) => item.item_id === before[index]);
  if (same) return 'The order stays as it was';
  return `New order. First: ${first}. ${added ? `${itemCount(added)} new` : 'Nothing new'}`;
}
