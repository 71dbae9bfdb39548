/** Finding a film by its title: a combobox. */

import { films, ServiceError } from './api.js';
import { byId, make, say, set } from './dom.js';
import { counted, genresOf, nameOf, starsInWords } from './words.js';

/** @typedef {import('./words.js').Film} Film */

const WAIT_MS = 160;
const LIMIT = 8;

/** A text field with the films that it finds. */
export class Search {
  /**
   * @param {import('./store.js').Store} store Knows what is rated.
   * @param {(film: Film) => void} take Called with the film that is taken.
   */
  constructor(store, take) {
    this.store = store;
    this.take = take;
    this.input = byId('query', HTMLInputElement);
    this.list = byId('found', HTMLUListElement);
    this.none = byId('not-found', HTMLElement);
    /** @type {Film[]} */
    this.found = [];
    this.active = -1;
    this.wait = 0;
    this.asking = new AbortController();
    this.input.addEventListener('input', () => this.#soon());
    this.input.addEventListener('keydown', (event) => this.#key(event));
    this.input.addEventListener('blur', () => this.#close());
    // The field keeps the focus while an option is pressed.
    this.list.addEventListener('pointerdown', (event) => event.preventDefault());
    this.list.addEventListener('click', (event) => this.#clicked(event));
  }

  /** Let it be used. */
  enable() {
    this.input.disabled = false;
  }

  #soon() {
    clearTimeout(this.wait);
    this.asking.abort();
    if (!this.input.value.trim()) this.#close();
    else this.wait = setTimeout(() => this.#search(), WAIT_MS);
  }

  async #search() {
    clearTimeout(this.wait);
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const text = this.input.value.trim();
    try {
      const found = await films(text, LIMIT, signal);
      if (!signal.aborted) this.#show(found, text);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ServiceError)) throw error;
      this.#tell([error.message, error.hint].filter(Boolean).join('. '));
    }
  }

  /** @param {Film[]} found @param {string} text */
  #show(found, text) {
    if (!found.length) {
      this.#tell(`No title is near to “${text}”`);
      return;
    }
    this.found = found;
    this.none.hidden = true;
    this.list.replaceChildren(...found.map((film, place) => this.#option(film, place)));
    this.list.hidden = false;
    set(this.input, { 'aria-expanded': 'true' });
    this.#activate(-1);
    say(`${counted(found.length, 'film')} found`);
  }

  /** @param {string} text */
  #tell(text) {
    this.#close();
    this.none.textContent = text;
    this.none.hidden = false;
    say(text);
  }

  /** @param {Film} film @param {number} place */
  #option(film, place) {
    const stars = this.store.of(film.id)?.stars ?? null;
    const about = [genresOf(film), stars === null ? '' : `you gave ${starsInWords(stars)}`];
    return make(
      'li',
      { role: 'option', id: `found-${place}`, 'aria-selected': 'false' },
      make('span', { class: 'name' }, nameOf(film)),
      ' ',
      make('span', { class: 'soft small' }, about.filter(Boolean).join(' · ')),
    );
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.isComposing) return;
    const open = !this.list.hidden;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (open) this.#move(event.key === 'ArrowDown' ? 1 : -1);
      else this.#search();
    } else if (event.key === 'Enter' && open) {
      event.preventDefault();
      this.#take(this.found[Math.max(0, this.active)]);
    } else if (event.key === 'Escape') {
      if (!open && this.none.hidden) this.input.value = '';
      this.#close();
    }
  }

  /** Go to the next option; beyond the ends of the list lies the field. @param {number} step */
  #move(step) {
    const places = this.found.length + 1;
    this.#activate(((this.active + 1 + step + places) % places) - 1);
  }

  /** @param {number} place -1 for none. */
  #activate(place) {
    this.active = place;
    for (const [at, option] of [...this.list.children].entries()) {
      set(option, { 'aria-selected': String(at === place) });
      if (at === place) option.scrollIntoView({ block: 'nearest' });
    }
    set(this.input, { 'aria-activedescendant': place < 0 ? null : `found-${place}` });
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const option = /** @type {Element} */ (event.target).closest('[role=option]');
    if (option) this.#take(this.found[[...this.list.children].indexOf(option)]);
  }

  /** @param {Film} film */
  #take(film) {
    this.input.value = '';
    this.#close();
    this.take(film);
  }

  #close() {
    clearTimeout(this.wait);
    this.asking.abort();
    this.list.hidden = true;
    this.none.hidden = true;
    set(this.input, { 'aria-expanded': 'false', 'aria-activedescendant': null });
  }
}
