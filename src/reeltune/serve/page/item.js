/** One film of the list: its place, its chances as bars, and what moved them. */

import { make } from './dom.js';
import { counted, genresOf, nameOf, percent, points, starsInWords } from './words.js';

/** @typedef {import('./words.js').Film} Film */
/** @typedef {import('./api.js').Recommendation} Recommendation */
/** @typedef {import('./api.js').Reason} Reason */

/** A film in the list. */
export class Item {
  /**
   * @param {Film} film Which.
   * @param {(film: Film) => void} seen Called when the visitor has seen it and wants to rate it.
   * @param {() => void} unfold Called when the visitor asks why.
   */
  constructor(film, seen, unfold) {
    this.film = film;
    this.rank = make('span', { class: 'rank', 'aria-hidden': 'true' });
    this.tuned = new Bar('tuned');
    this.base = new Bar('base');
    this.reasons = make('div', { class: 'reasons' });
    this.why = /** @type {HTMLDetailsElement} */ (
      make('details', { class: 'why' }, make('summary', {}, 'Why', hidden(` ${nameOf(film)}`)), this.reasons)
    );
    this.explained = false;
    this.why.addEventListener('toggle', () => {
      if (this.why.open && !this.explained) unfold();
    });
    const rate = make('button', { type: 'button', class: 'quiet seen' }, 'Seen it', hidden(`: rate ${nameOf(film)}`));
    rate.addEventListener('click', () => seen(film));
    this.element = make(
      'li',
      { class: 'item' },
      this.rank,
      make('h3', {}, film.title || 'Untitled', year(film)),
      make('dl', { class: 'bars' }, this.tuned.element, this.base.element),
      make('p', { class: 'about soft small' }, about(film)),
      make('div', { class: 'acts' }, this.why, rate),
    );
  }

  /** Show a verdict. @param {number} rank @param {Recommendation} told @param {boolean} compared */
  show(rank, told, compared) {
    this.rank.textContent = String(rank);
    const name = compared ? 'Tuned' : 'Chance you like it';
    this.tuned.show(name, told.p_like);
    this.base.show('Base', compared ? told.p_like_base : null);
    this.element.classList.toggle('compared', compared && told.p_like_base !== null);
    this.#explain(told.why);
  }

  /** @param {Reason[]} why None while they have not been asked for. */
  #explain(why) {
    this.explained = why.length > 0;
    if (!this.explained) {
      this.reasons.replaceChildren(make('p', { class: 'soft small' }, 'Asking again without each rating…'));
      return;
    }
    const most = Math.max(...why.map((reason) => Math.abs(reason.moved)));
    this.reasons.replaceChildren(
      make('p', { class: 'soft small' }, 'In percentage points, against the same question without that rating:'),
      make('ul', {}, ...why.map((reason) => reasonLine(reason, most))),
    );
  }
}

/** A chance as a bar, a number and a word. */
class Bar {
  /** @param {string} kind Its look. */
  constructor(kind) {
    this.label = make('dt', {});
    this.value = make('span', { class: 'value' });
    this.bar = make('span', { class: 'bar', 'aria-hidden': 'true' }, make('i', {}));
    this.element = make('div', { class: kind }, this.label, make('dd', {}, this.bar, this.value));
  }

  /** @param {string} name @param {number | null} chance Null shows no bar. */
  show(name, chance) {
    this.element.hidden = chance === null;
    if (chance === null) return;
    this.label.textContent = name;
    this.value.textContent = percent(chance);
    this.bar.style.setProperty('--share', `${100 * chance}%`);
  }
}

/** @param {Reason} reason @param {number} most The strongest of the reasons. */
function reasonLine(reason, most) {
  const way = reason.moved < 0 ? 'down' : 'up';
  const bar = make('span', { class: `push ${way}`, 'aria-hidden': 'true' }, make('i', {}));
  bar.style.setProperty('--share', `${most ? (100 * Math.abs(reason.moved)) / most : 0}%`);
  return make(
    'li',
    {},
    bar,
    make('span', { class: 'moved' }, points(reason.moved), hidden(' points: ')),
    make('span', {}, nameOf(reason.film), make('span', { class: 'soft' }, `, ${starsInWords(reason.rating)}`)),
  );
}

/** @param {Film} film */
function year(film) {
  return make('span', { class: 'year' }, film.year === null ? '' : ` ${film.year}`);
}

/** @param {Film} film */
function about(film) {
  return [genresOf(film), counted(film.ratings, 'rating')].filter(Boolean).join(' · ');
}

/** @param {string} text @returns {HTMLElement} Text that is only read aloud. */
function hidden(text) {
  return make('span', { class: 'hidden' }, text);
}
