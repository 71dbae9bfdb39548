/** One recommendation: rank, probabilities as bars, and reasons. */

import { make } from './dom.js';
import { countText, genreText, itemName, percent, points, ratingWords } from './format.js';

/** @typedef {import('./format.js').Item} Item */
/** @typedef {import('./api.js').Recommendation} Recommendation */
/** @typedef {import('./api.js').Reason} Reason */

/** An entry of the list. */
export class Card {
  /**
   * @param {Item} item
   * @param {(item: Item) => void} rate Called when the visitor wants to rate the item.
   * @param {() => void} explain Called when the visitor asks for reasons that are not loaded.
   */
  constructor(item, rate, explain) {
    this.rank = make('span', { class: 'rank', 'aria-hidden': 'true' });
    this.tuned = new Bar('tuned');
    this.base = new Bar('base');
    this.reasons = make('div', { class: 'reasons' });
    this.details = /** @type {HTMLDetailsElement} */ (
      make('details', { class: 'why' }, make('summary', {}, 'Why', hidden(` ${itemName(item)}`)), this.reasons)
    );
    this.explained = false;
    this.details.addEventListener('toggle', () => {
      if (this.details.open && !this.explained) explain();
    });
    const button = make('button', { type: 'button', class: 'quiet seen' }, 'Rate it', hidden(`: ${itemName(item)}`));
    button.addEventListener('click', () => rate(item));
    this.element = make(
      'li',
      { class: 'card' },
      this.rank,
      make('h3', {}, item.title || 'Untitled', make('span', { class: 'year' }, item.year === null ? '' : ` ${item.year}`)),
      make('dl', { class: 'bars' }, this.tuned.element, this.base.element),
      make('p', { class: 'about soft small' }, [genreText(item), countText(item.ratings, 'rating')].filter(Boolean).join(' · ')),
      make('div', { class: 'acts' }, this.details, button),
    );
  }

  /** @param {number} rank @param {Recommendation} recommendation @param {boolean} compared */
  show(rank, { p_like, p_like_base, reasons }, compared) {
    this.rank.textContent = String(rank);
    this.tuned.show(compared ? 'Tuned' : 'Chance you like it', p_like);
    this.base.show('Base', compared ? p_like_base : null);
    this.element.classList.toggle('compared', compared && p_like_base !== null);
    this.#showReasons(reasons);
  }

  /** @param {Reason[]} reasons Empty while they are not loaded. */
  #showReasons(reasons) {
    this.explained = reasons.length > 0;
    if (!this.explained) {
      this.reasons.replaceChildren(make('p', { class: 'soft small' }, 'Predicting again without each rating…'));
      return;
    }
    const largest = Math.max(...reasons.map((reason) => Math.abs(reason.effect)));
    this.reasons.replaceChildren(
      make('p', { class: 'soft small' }, 'Effect of each rating, in percentage points:'),
      make('ul', {}, ...reasons.map((reason) => reasonLine(reason, largest))),
    );
  }
}

/** A probability as a bar with a label and a number. */
class Bar {
  /** @param {string} kind CSS class. */
  constructor(kind) {
    this.label = make('dt', {});
    this.value = make('span', { class: 'value' });
    this.bar = make('span', { class: 'bar', 'aria-hidden': 'true' }, make('i', {}));
    this.element = make('div', { class: kind }, this.label, make('dd', {}, this.bar, this.value));
  }

  /** @param {string} label @param {number | null} probability Null hides the bar. */
  show(label, probability) {
    this.element.hidden = probability === null;
    if (probability === null) return;
    this.label.textContent = label;
    this.value.textContent = percent(probability);
    this.bar.style.setProperty('--share', `${100 * probability}%`);
  }
}

/** @param {Reason} reason @param {number} largest Largest absolute effect of all reasons. */
function reasonLine(reason, largest) {
  const direction = reason.effect < 0 ? 'down' : 'up';
  const bar = make('span', { class: `push ${direction}`, 'aria-hidden': 'true' }, make('i', {}));
  bar.style.setProperty('--share', `${largest ? (100 * Math.abs(reason.effect)) / largest : 0}%`);
  return make(
    'li',
    {},
    bar,
    make('span', { class: 'effect' }, points(reason.effect), hidden(' points: ')),
    make('span', {}, itemName(reason.item), make('span', { class: 'soft' }, `, ${ratingWords(reason.rating).said}`)),
  );
}

/** @param {string} text @returns {HTMLElement} Text for screen readers only. */
function hidden(text) {
  return make('span', { class: 'hidden' }, text);
}
