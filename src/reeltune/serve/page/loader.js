/** Requests recommendations when something changes. Only the newest response is shown. */

import { recommend, ServiceError } from './api.js';
import { announce, byId, make } from './dom.js';
import { itemCount, numberText, sentence, words } from './format.js';

const DEBOUNCE_MS = 350;
const TOP_K = 10;
const REASONS = 3;

/** After how many seconds screen readers are told that a request takes long. */
const LONG_S = 2;

/** Keeps the list of recommendations up to date. */
export class RecommendationLoader {
  /**
   * @param {import('./store.js').Store} store
   * @param {import('./controls.js').Controls} controls
   * @param {import('./results.js').ResultList} list Shows the recommendations.
   * @param {import('./error_notice.js').ErrorNotice} notice Shows errors.
   */
  constructor(store, controls, list, notice) {
    this.store = store;
    this.controls = controls;
    this.list = list;
    this.notice = notice;
    this.status = byId('state', HTMLElement);
    this.note = byId('list-note', HTMLElement);
    this.more = byId('more', HTMLButtonElement);
    this.running = new AbortController();
    /** The last request that was answered or is being answered, as JSON. */
    this.request = '';
    this.answered = true;
    this.timer = 0;
    this.clock = 0;
    this.topK = TOP_K;
    /** @type {import('./api.js').Health['limits'] | null} */
    this.limits = null;
    store.addEventListener('ratings', () => {
      if (!store.rated.length) this.topK = TOP_K;
      this.schedule();
    });
    store.addEventListener('settings', () => this.schedule());
    this.more.addEventListener('click', () => {
      this.topK += TOP_K;
      this.load();
    });
  }

  /** @param {import('./api.js').Health['limits']} limits Of the service. */
  start(limits) {
    this.limits = limits;
    this.load();
  }

  /** Load in a moment, unless something changes again. */
  schedule() {
    clearTimeout(this.timer);
    if (!this.limits || this.#isCurrent()) return;
    this.#cancel();
    this.timer = setTimeout(() => this.load(), DEBOUNCE_MS);
  }

  /** Load and show recommendations, unless the same request was answered or is being answered. */
  async load() {
    clearTimeout(this.timer);
    if (!this.limits || this.#isCurrent()) return;
    this.#cancel();
    this.running = new AbortController();
    const { signal } = this.running;
    const compared = this.controls.compared;
    const body = this.#body();
    this.request = JSON.stringify(body);
    this.answered = false;
    const start = performance.now();
    this.#showProgress(start);
    try {
      const response = await recommend(body, signal);
      if (!signal.aborted) this.#show(response, compared, (performance.now() - start) / 1000);
    } catch (error) {
      if (signal.aborted) return;
      this.#cancel();
      if (!(error instanceof ServiceError)) throw error;
      this.#showError(error);
    }
  }

  /** @returns {boolean} Whether the request to make equals the last one. */
  #isCurrent() {
    return JSON.stringify(this.#body()) === this.request;
  }

  /** @returns {object} The request to make. */
  #body() {
    const limits = /** @type {NonNullable<RecommendationLoader['limits']>} */ (this.limits);
    const rated = this.store.rated.slice(-limits.history);
    return {
      history: rated.map(({ item, rating }) => ({ item_id: item.item_id, rating })),
      top_k: Math.min(this.topK, limits.top_k),
      base: this.controls.compared,
      reasons: this.list.showsReasons ? REASONS : 0,
      candidates: this.controls.candidateCount,
      filters: this.controls.filters,
    };
  }

  /** @param {import('./api.js').Recommendations} response @param {boolean} compared @param {number} seconds */
  #show(response, compared, seconds) {
    const { recommendations, scored, eligible, history, notes } = response;
    this.answered = true;
    this.#setBusy(false);
    this.notice.clear();
    if (recommendations.length) announce(this.list.show(recommendations, compared));
    else this.#showNoMatch();
    const texts = notes.map(sentence);
    if (!history.length) texts.unshift(`This list is for somebody who has rated nothing yet. Rate one of the ${words().items} that you know, and it becomes yours.`);
    this.note.textContent = texts.join(' ');
    this.note.hidden = !texts.length;
    byId('list', HTMLElement).classList.toggle('no-history', !history.length);
    const most = this.limits?.top_k ?? 0;
    const topK = Math.min(this.topK, most);
    this.more.hidden = recommendations.length < topK || topK >= scored || topK === most;
    this.status.textContent = `${numberText(scored)} of ${itemCount(eligible)} scored in ${seconds.toFixed(1)} s`;
  }

  /** @param {number} start When the request began, in milliseconds. */
  #showProgress(start) {
    const message = `Scoring ${itemCount(this.controls.candidateCount)}${this.list.showsReasons ? ' and their reasons' : ''}…`;
    let announced = false;
    const tick = () => {
      const seconds = Math.floor((performance.now() - start) / 1000);
      this.status.textContent = seconds < 1 ? message : `${message} ${seconds} s`;
      if (seconds >= LONG_S && !announced) {
        announce(message);
        announced = true;
      }
    };
    tick();
    this.clock = setInterval(tick, 1000);
    this.list.showSkeleton();
    this.#setBusy(true);
  }

  /** Cancel the running request. */
  #cancel() {
    this.running.abort();
    if (!this.answered) this.request = '';
    this.answered = true;
    this.#setBusy(false);
  }

  /** @param {ServiceError} error */
  #showError(error) {
    this.status.textContent = this.list.length ? 'This list is older than your last change.' : '';
    if (!this.list.length) this.list.clear();
    this.notice.show(error, () => this.load());
  }

  /** @param {boolean} busy */
  #setBusy(busy) {
    if (!busy) clearInterval(this.clock);
    byId('progress', HTMLElement).hidden = !busy;
    byId('list', HTMLElement).setAttribute('aria-busy', String(busy));
  }

  #showNoMatch() {
    const button = make('button', { type: 'button' }, 'Clear filters');
    button.addEventListener('click', () => this.store.clearFilters());
    this.list.clear(make('p', { class: 'big' }, `No ${words().item} matches these filters.`), button);
    announce(`No ${words().item} matches these filters`);
  }
}
