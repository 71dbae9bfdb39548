/** A combobox that finds items by title. */

import { findItems, ServiceError } from './api.js';
import { announce, byId, make, set } from './dom.js';
import { genreText, itemCount, itemName, ratingWords } from './format.js';

/** @typedef {import('./format.js').Item} Item */

const DEBOUNCE_MS = 160;
const LIMIT = 8;

/** A text field with a list of matches. */
export class Search {
  /**
   * @param {import('./store.js').Store} store
   * @param {(item: Item) => void} select Called with the selected item.
   */
  constructor(store, select) {
    this.store = store;
    this.select = select;
    this.input = byId('query', HTMLInputElement);
    this.list = byId('found', HTMLUListElement);
    this.none = byId('not-found', HTMLElement);
    /** @type {Item[]} */
    this.found = [];
    this.active = -1;
    this.timer = 0;
    this.running = new AbortController();
    this.input.addEventListener('input', () => this.#schedule());
    this.input.addEventListener('keydown', (event) => this.#key(event));
    this.input.addEventListener('blur', () => this.#close());
    // The field keeps the focus while an option is pressed.
    this.list.addEventListener('pointerdown', (event) => event.preventDefault());
    this.list.addEventListener('click', (event) => this.#clicked(event));
  }

  enable() {
    this.input.disabled = false;
  }

  #schedule() {
    clearTimeout(this.timer);
    this.running.abort();
    if (!this.input.value.trim()) this.#close();
    else this.timer = setTimeout(() => this.#search(), DEBOUNCE_MS);
  }

  async #search() {
    clearTimeout(this.timer);
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    const text = this.input.value.trim();
    try {
      const found = await findItems(text, LIMIT, signal);
      if (!signal.aborted) this.#show(found, text);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ServiceError)) throw error;
      this.#showMessage([error.message, error.hint].filter(Boolean).join('. '));
    }
  }

  /** @param {Item[]} found @param {string} text */
  #show(found, text) {
    if (!found.length) {
      this.#showMessage(`No title is near to “${text}”`);
      return;
    }
    this.found = found;
    this.none.hidden = true;
    this.list.replaceChildren(...found.map((item, index) => this.#option(item, index)));
    this.list.hidden = false;
    set(this.input, { 'aria-expanded': 'true' });
    this.#activate(-1);
    announce(`${itemCount(found.length)} found`);
  }

  /** @param {string} text */
  #showMessage(text) {
    this.#close();
    this.none.textContent = text;
    this.none.hidden = false;
    announce(text);
  }

  /** @param {Item} item @param {number} index */
  #option(item, index) {
    const rating = this.store.get(item.item_id)?.rating ?? null;
    const about = [genreText(item), rating === null ? '' : `your rating: ${ratingWords(rating).said}`];
    return make(
      'li',
      { role: 'option', id: `found-${index}`, 'aria-selected': 'false' },
      make('span', { class: 'name' }, itemName(item)),
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
      this.#select(this.found[Math.max(0, this.active)]);
    } else if (event.key === 'Escape') {
      if (!open && this.none.hidden) this.input.value = '';
      this.#close();
    }
  }

  /** Move to the next option; the text field is between the last and the first. @param {number} step */
  #move(step) {
    const stops = this.found.length + 1;
    this.#activate(((this.active + 1 + step + stops) % stops) - 1);
  }

  /** @param {number} index -1 for none. */
  #activate(index) {
    this.active = index;
    for (const [at, option] of [...this.list.children].entries()) {
      set(option, { 'aria-selected': String(at === index) });
      if (at === index) option.scrollIntoView({ block: 'nearest' });
    }
    set(this.input, { 'aria-activedescendant': index < 0 ? null : `found-${index}` });
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const option = /** @type {Element} */ (event.target).closest('[role=option]');
    if (option) this.#select(this.found[[...this.list.children].indexOf(option)]);
  }

  /** @param {Item} item */
  #select(item) {
    this.input.value = '';
    this.#close();
    this.select(item);
  }

  #close() {
    clearTimeout(this.timer);
    this.running.abort();
    this.list.hidden = true;
    this.none.hidden = true;
    set(this.input, { 'aria-expanded': 'false', 'aria-activedescendant': null });
  }
}
