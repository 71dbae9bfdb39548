/** What went wrong, in the service's own words, and the way on. */

import { keepToken } from './api.js';
import { byId, make } from './dom.js';

/** @typedef {import('./api.js').ServiceError} ServiceError */

/** Codes of errors that a token resolves. */
const NEEDS_TOKEN = ['missing_token', 'wrong_token'];

/** The place where trouble is told. */
export class Notice {
  constructor() {
    this.place = byId('notice', HTMLElement);
    this.wait = 0;
    this.waited = false;
    /** @type {(() => void) | null} */
    this.again = null;
    addEventListener('online', () => this.#retry());
  }

  /** Take the notice away: all is well. */
  clear() {
    clearTimeout(this.wait);
    this.waited = false;
    this.again = null;
    this.place.replaceChildren();
  }

  /**
   * Tell of an error.
   *
   * A service that says when to come again is asked again by itself, once.
   *
   * @param {ServiceError} error What went wrong.
   * @param {() => void} again Tries again.
   */
  show(error, again) {
    clearTimeout(this.wait);
    this.again = again;
    if (NEEDS_TOKEN.includes(error.code)) {
      this.#askToken(error);
      return;
    }
    const soon = error.retryAfter !== null && !this.waited;
    const button = make('button', { type: 'button' }, 'Try again');
    button.addEventListener('click', () => this.#retry());
    const words = [make('p', { class: 'what' }, sentence(error.message))];
    if (error.hint) words.push(make('p', {}, sentence(error.hint)));
    if (soon) words.push(make('p', {}, `Trying again by itself in ${error.retryAfter} s.`));
    this.place.replaceChildren(
      make('div', { class: 'notice', 'data-code': error.code }, make('div', { role: 'alert' }, ...words), button),
    );
    if (soon) {
      this.waited = true;
      this.wait = setTimeout(() => this.#retry(), 1000 * (error.retryAfter ?? 0));
    }
  }

  #retry() {
    clearTimeout(this.wait);
    this.again?.();
  }

  /** @param {ServiceError} error */
  #askToken(error) {
    const field = /** @type {HTMLInputElement} */ (
      make('input', { type: 'password', id: 'token', autocomplete: 'off', required: true })
    );
    const form = make(
      'form',
      { class: 'notice', 'data-code': error.code },
      make(
        'div',
        { role: 'alert' },
        make('p', { class: 'what' }, sentence(error.message)),
        make('p', {}, 'The service was started with a token. This tab keeps it until it is closed.'),
      ),
      make('label', { for: 'token' }, 'Access token'),
      make('div', { class: 'row' }, field, make('button', { type: 'submit' }, 'Use it')),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      keepToken(field.value.trim());
      this.#retry();
    });
    this.place.replaceChildren(form);
    field.focus();
  }
}

/** @param {string} text @returns {string} With a capital and a full stop. */
function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
