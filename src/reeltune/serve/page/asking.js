/** When the service is asked, and what becomes of its answers. Only the newest answer counts. */

import { recommendations, ServiceError } from './api.js';
import { byId, make, say } from './dom.js';
import { counted, grouped } from './words.js';

const WAIT_MS = 350;
const TOP = 10;
const WHY = 3;

/** After how long those who hear the page are told that it takes time. */
const LONG_S = 2;

/** Asks for the list whenever something changes. */
export class Asking {
  /**
   * @param {import('./store.js').Store} store What is rated.
   * @param {import('./controls.js').Controls} controls What is wished.
   * @param {import('./list.js').List} list Shows the answers.
   * @param {import('./notice.js').Notice} notice Tells of trouble.
   */
  constructor(store, controls, list, notice) {
    this.store = store;
    this.controls = controls;
    this.list = list;
    this.notice = notice;
    this.state = byId('state', HTMLElement);
    this.more = byId('more', HTMLButtonElement);
    this.running = new AbortController();
    /** What was asked last, if it is being answered or has been. */
    this.asked = '';
    this.answered = true;
    this.wait = 0;
    this.clock = 0;
    this.top = TOP;
    /** @type {import('./api.js').Health['limits'] | null} */
    this.limits = null;
    store.addEventListener('ratings', () => this.soon());
    store.addEventListener('wishes', () => this.soon());
    this.more.addEventListener('click', () => {
      this.top += TOP;
      this.now();
    });
  }

  /** Begin: the service is there. @param {import('./api.js').Health['limits']} limits */
  begin(limits) {
    this.limits = limits;
    this.now();
  }

  /** Ask in a moment, unless something changes again. */
  soon() {
    clearTimeout(this.wait);
    if (!this.limits || this.#isAsked()) return;
    this.#giveUp();
    if (this.store.rated.length) this.wait = setTimeout(() => this.now(), WAIT_MS);
    else this.#invite();
  }

  /** Ask, unless just that is asked already, and show what is answered. */
  async now() {
    clearTimeout(this.wait);
    if (!this.limits || this.#isAsked()) return;
    this.#giveUp();
    if (!this.store.rated.length) {
      this.#invite();
      return;
    }
    this.running = new AbortController();
    const { signal } = this.running;
    const compared = this.controls.compared;
    const body = this.#body();
    this.asked = JSON.stringify(body);
    this.answered = false;
    const start = performance.now();
    this.#wait(start);
    try {
      const answer = await recommendations(body, signal);
      if (!signal.aborted) this.#show(answer, compared, (performance.now() - start) / 1000);
    } catch (error) {
      if (signal.aborted) return;
      this.#giveUp();
      if (!(error instanceof ServiceError)) throw error;
      this.#fail(error);
    }
  }

  /** @returns {boolean} Whether what would be asked now is being answered or has been. */
  #isAsked() {
    return JSON.stringify(this.#body()) === this.asked;
  }

  /** @returns {object} The request. */
  #body() {
    const { history, top } = /** @type {NonNullable<Asking['limits']>} */ (this.limits);
    const rated = this.store.rated.slice(-history);
    return {
      rated: rated.map(({ film, stars }) => ({ item_id: film.id, rating: stars })),
      top: Math.min(this.top, top),
      base: this.controls.compared,
      why: this.list.asksWhy ? WHY : 0,
      candidates: this.controls.count,
      filters: this.controls.filters,
    };
  }

  /** @param {import('./api.js').Answer} answer @param {boolean} compared @param {number} seconds */
  #show(answer, compared, seconds) {
    this.answered = true;
    this.#busy(false);
    this.notice.clear();
    if (answer.recommendations.length) say(this.list.show(answer, compared));
    else this.#nothingFits();
    const top = Math.min(this.top, this.limits?.top ?? 0);
    this.more.hidden = answer.recommendations.length < top || top >= answer.judged || top === this.limits?.top;
    this.state.textContent = `${grouped(answer.judged)} of ${counted(answer.fitting, 'film')} judged in ${seconds.toFixed(1)} s`;
  }

  /** @param {number} start When the request began, in milliseconds. */
  #wait(start) {
    const films = counted(this.controls.count, 'film');
    const what = `Judging ${films}${this.list.asksWhy ? ' and asking why' : ''}…`;
    let long = false;
    const tick = () => {
      const seconds = Math.floor((performance.now() - start) / 1000);
      this.state.textContent = seconds < 1 ? what : `${what} ${seconds} s`;
      if (seconds >= LONG_S && !long) say(what);
      long ||= seconds >= LONG_S;
    };
    tick();
    this.clock = setInterval(tick, 1000);
    this.list.ghosts();
    this.#busy(true);
  }

  /** Give up what is under way. */
  #giveUp() {
    this.running.abort();
    if (!this.answered) this.asked = '';
    this.answered = true;
    this.#busy(false);
  }

  /** @param {ServiceError} error */
  #fail(error) {
    this.state.textContent = this.list.length ? 'The list is from before.' : '';
    if (!this.list.length) this.list.empty();
    this.notice.show(error, () => this.now());
  }

  /** @param {boolean} busy */
  #busy(busy) {
    if (!busy) clearInterval(this.clock);
    byId('progress', HTMLElement).hidden = !busy;
    byId('list', HTMLElement).setAttribute('aria-busy', String(busy));
  }

  #invite() {
    this.asked = '';
    this.notice.clear();
    this.state.textContent = '';
    this.more.hidden = true;
    this.top = TOP;
    this.list.empty(
      make('p', { class: 'big' }, 'Your list begins with one star.'),
      make('p', { class: 'soft' }, 'Give stars to a film you know. The list appears here, and each further rating sharpens it.'),
    );
  }

  #nothingFits() {
    const button = make('button', { type: 'button' }, 'Clear filters');
    button.addEventListener('click', () => this.store.unfilter());
    this.list.empty(make('p', { class: 'big' }, 'No film fits these filters.'), button);
    say('No film fits these filters');
  }
}
