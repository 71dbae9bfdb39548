/** Shows an error of the service and how to continue. */

import { saveToken } from './api.js';
import { byId, make } from './dom.js';
import { sentence } from './format.js';

/** @typedef {import('./api.js').ServiceError} ServiceError */

/** Codes of errors that a token resolves. */
const NEEDS_TOKEN = ['missing_token', 'wrong_token'];

/** The area for errors. */
export class ErrorNotice {
  constructor() {
    this.container = byId('notice', HTMLElement);
    this.timer = 0;
    this.retried = false;
    /** @type {(() => void) | null} */
    this.retry = null;
    addEventListener('online', () => this.#retryNow());
  }

  /** Remove the notice. */
  clear() {
    clearTimeout(this.timer);
    this.retried = false;
    this.retry = null;
    this.container.replaceChildren();
  }

  /**
   * Show an error. If the service says when to retry, retry once automatically.
   *
   * @param {ServiceError} error
   * @param {() => void} retry
   */
  show(error, retry) {
    clearTimeout(this.timer);
    this.retry = retry;
    if (NEEDS_TOKEN.includes(error.code)) {
      this.#askForToken(error);
      return;
    }
    const automatic = error.retryAfter !== null && !this.retried;
    const button = make('button', { type: 'button' }, 'Try again');
    button.addEventListener('click', () => this.#retryNow());
    const lines = [make('p', { class: 'message' }, sentence(error.message))];
    if (error.hint) lines.push(make('p', {}, sentence(error.hint)));
    if (automatic) lines.push(make('p', {}, `Trying again in ${error.retryAfter} s.`));
    this.container.replaceChildren(
      make('div', { class: 'notice', 'data-code': error.code }, make('div', { role: 'alert' }, ...lines), button),
    );
    if (automatic) {
      this.retried = true;
      this.timer = setTimeout(() => this.#retryNow(), 1000 * (error.retryAfter ?? 0));
    }
  }

  #retryNow() {
    clearTimeout(this.timer);
    this.retry?.();
  }

  /** @param {ServiceError} error */
  #askForToken(error) {
    const input = /** @type {HTMLInputElement} */ (
      make('input', { type: 'password', id: 'token', autocomplete: 'off', required: true })
    );
    const form = make(
      'form',
      { class: 'notice', 'data-code': error.code },
      make(
        'div',
        { role: 'alert' },
        make('p', { class: 'message' }, sentence(error.message)),
        make('p', {}, 'The service was started with a token. This tab keeps it until it is closed.'),
      ),
      make('label', { for: 'token' }, 'Access token'),
      make('div', { class: 'row' }, input, make('button', { type: 'submit' }, 'Use it')),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      saveToken(input.value.trim());
      this.#retryNow();
    });
    this.container.replaceChildren(form);
    input.focus();
  }
}
