/** Films that many have rated, to give stars to at once. */

import { films } from './api.js';
import { byId, make } from './dom.js';
import { Stars } from './stars.js';
import { genresOf, nameOf } from './words.js';

/** @typedef {import('./words.js').Film} Film */

const FRAMES = 6;
const LIMIT = 50;

/** A strip of frames, each with a film that is not rated yet. */
export class Shelf {
  /** @param {import('./store.js').Store} store Takes the stars. */
  constructor(store) {
    this.store = store;
    this.list = byId('shelf', HTMLUListElement);
    this.others = byId('others', HTMLButtonElement);
    /** @type {Film[]} */
    this.films = [];
    this.next = 0;
    /** @type {{film: Film, stars: Stars, element: HTMLElement}[]} */
    this.frames = [];
    this.others.addEventListener('click', () => this.#fill());
    store.addEventListener('ratings', () => this.#follow());
    this.list.replaceChildren(...Array.from({ length: FRAMES }, ghost));
  }

  /**
   * Fetch the films.
   *
   * @throws {import('./api.js').ServiceError} There is no answer.
   */
  async load() {
    this.films = await films('', LIMIT);
    this.next = 0;
    this.list.setAttribute('aria-busy', 'false');
    this.others.disabled = false;
    this.#fill();
  }

  /** @returns {number} How often the most rated film was rated. */
  get mostRatings() {
    return Math.max(0, ...this.films.map((film) => film.ratings));
  }

  #fill() {
    /** @type {Film[]} */
    const chosen = [];
    while (chosen.length < FRAMES) {
      const film = this.#nextFilm(chosen);
      if (!film) break;
      chosen.push(film);
    }
    this.frames = chosen.map((film) => this.#frame(film));
    this.list.replaceChildren(...this.frames.map((frame) => frame.element));
    this.list.scrollLeft = 0;
  }

  /** Return the next film, round and round, that has no stars and is not shown. @param {Film[]} shown */
  #nextFilm(shown) {
    for (let tried = 0; tried < this.films.length; tried++) {
      const film = this.films[this.next];
      this.next = (this.next + 1) % this.films.length;
      if (!this.store.of(film.id) && !shown.includes(film)) return film;
    }
    return null;
  }

  /** @param {Film} film */
  #frame(film) {
    const stars = new Stars(nameOf(film), (given) => this.store.rate(film, given));
    const about = [film.year === null ? '' : String(film.year), genresOf(film)];
    const element = make(
      'li',
      { class: 'frame' },
      make('h3', {}, film.title || 'Untitled'),
      make('p', { class: 'soft small' }, about.filter(Boolean).join(' · ')),
      stars.element,
    );
    element.addEventListener('focusout', () => {
      // When the whole window loses the focus, its element keeps it.
      if (!element.contains(document.activeElement)) this.#leave(film);
    });
    return { film, stars, element };
  }

  #follow() {
    for (const { film, stars } of this.frames) {
      const given = this.store.of(film.id)?.stars ?? null;
      if (given !== stars.value) stars.show(given);
    }
  }

  /** Once a film has its stars and is left, another takes its place. @param {Film} film */
  #leave(film) {
    if (this.store.of(film.id)?.stars == null) return;
    const place = this.frames.findIndex((frame) => frame.film.id === film.id);
    const other = this.#nextFilm(this.frames.map((frame) => frame.film));
    if (place < 0 || !other) return;
    const before = this.frames[place].element;
    this.frames[place] = this.#frame(other);
    before.replaceWith(this.frames[place].element);
  }
}

/** @returns {HTMLElement} A frame without a film. */
function ghost() {
  return make('li', { class: 'frame ghost', 'aria-hidden': 'true' });
}
