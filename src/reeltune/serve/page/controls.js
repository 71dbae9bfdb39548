/** Number of candidates, comparison with the base model, and filters. */

import { byId, make } from './dom.js';
import { itemCount, numberText } from './format.js';

/** @typedef {import('./api.js').Health} Health */
/** @typedef {import('./store.js').Settings} Settings */

/** Choices for the number of candidates; the default is small, since a CPU scores ten to twenty a second. */
const COUNTS = [25, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
const DEFAULT_COUNT = 50;

/** An item is well known from, and little known up to, this share of the most rated item's ratings. */
const WELL = 1 / 5;
const LITTLE = 1 / 20;

/** The form beside the list. */
export class Controls {
  /** @param {import('./store.js').Store} store */
  constructor(store) {
    this.store = store;
    this.candidates = byId('candidates', HTMLSelectElement);
    this.base = byId('base', HTMLInputElement);
    this.genre = byId('genre', HTMLSelectElement);
    this.without = byId('without', HTMLSelectElement);
    this.yearFrom = byId('year-from', HTMLInputElement);
    this.yearTo = byId('year-to', HTMLInputElement);
    this.known = byId('known', HTMLSelectElement);
    this.maxCount = COUNTS[COUNTS.length - 1];
    this.canCompare = false;
    /** @type {Record<string, object>} */
    this.knownFilters = {};
    const form = byId('controls', HTMLFormElement);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('change', () => store.update(this.#read()));
    byId('no-filters', HTMLButtonElement).addEventListener('click', () => store.clearFilters());
    store.addEventListener('settings', () => this.#show());
  }

  /** @returns {number} How many items to score. */
  get candidateCount() {
    return Math.min(this.store.settings.candidates ?? DEFAULT_COUNT, this.maxCount);
  }

  /** @returns {boolean} Whether to compare with the base model. */
  get compared() {
    return this.canCompare && this.store.settings.base;
  }

  /** @returns {object} The filters of a request. */
  get filters() {
    const { genre, without, yearFrom, yearTo, known } = this.store.settings;
    return {
      genres: genre ? [genre] : [],
      without_genres: without ? [without] : [],
      year_from: yearFrom,
      year_to: yearTo,
      ...this.knownFilters[known],
    };
  }

  /** Fill in the choices. @param {Health} health @param {number} mostRatings Of the most rated item. */
  setOptions(health, mostRatings) {
    this.maxCount = health.limits.candidates;
    this.canCompare = health.tuned;
    byId('base-field', HTMLElement).hidden = !health.tuned;
    const counts = COUNTS.filter((count) => count < this.maxCount && count < health.items);
    const top = Math.min(this.maxCount, health.items);
    fill(this.candidates, [...counts, top].map((count) => [String(count), itemCount(count)]));
    const genres = health.genres.map((genre) => /** @type {[string, string]} */ ([genre, genre]));
    fill(this.genre, [['', 'Any'], ...genres]);
    fill(this.without, [['', 'None'], ...genres]);
    this.#setKnownOptions(mostRatings);
    this.#show();
  }

  /** @param {number} mostRatings */
  #setKnownOptions(mostRatings) {
    const well = Math.ceil(WELL * mostRatings);
    const little = Math.floor(LITTLE * mostRatings);
    this.knownFilters = {
      well: { min_ratings: well },
      between: { min_ratings: little + 1, max_ratings: well - 1 },
      little: { max_ratings: little },
    };
    fill(this.known, [
      ['', 'Any'],
      ['well', `Well known: ${numberText(well)} ratings or more`],
      ['between', 'In between'],
      ['little', `Little known: at most ${numberText(little)} ratings`],
    ]);
  }

  /** @returns {Partial<Settings>} */
  #read() {
    return {
      candidates: Number(this.candidates.value),
      base: this.base.checked,
      genre: this.genre.value,
      without: this.without.value,
      yearFrom: yearValue(this.yearFrom),
      yearTo: yearValue(this.yearTo),
      known: this.known.value,
    };
  }

  #show() {
    const { settings } = this.store;
    this.candidates.value = String(nearest(this.candidates, this.candidateCount));
    this.base.checked = settings.base;
    this.genre.value = settings.genre;
    this.without.value = settings.without;
    this.yearFrom.value = settings.yearFrom === null ? '' : String(settings.yearFrom);
    this.yearTo.value = settings.yearTo === null ? '' : String(settings.yearTo);
    this.known.value = settings.known;
    const { genre, without, yearFrom, yearTo, known } = settings;
    const set = [genre, without, yearFrom, yearTo, known].filter((value) => value !== '' && value !== null);
    byId('filters-set', HTMLElement).textContent = set.length ? ` (${set.length} set)` : '';
    byId('no-filters', HTMLButtonElement).hidden = !set.length;
  }
}

/** @param {HTMLSelectElement} select @param {[string, string][]} options Values and texts. */
function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make('option', { value }, text)));
}

/** @param {HTMLSelectElement} select @param {number} wanted @returns {number} The largest choice not above it. */
function nearest(select, wanted) {
  const counts = [...select.options].map((option) => Number(option.value));
  return counts.reduce((best, count) => (count <= wanted ? count : best), counts[0]);
}

/** @param {HTMLInputElement} field @returns {number | null} */
function yearValue(field) {
  return field.value !== '' && field.validity.valid ? Number(field.value) : null;
}
