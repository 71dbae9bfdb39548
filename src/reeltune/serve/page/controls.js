/** How many films are judged, whether two models are compared, and which films come into question. */

import { byId, make } from './dom.js';
import { counted, grouped } from './words.js';

/** @typedef {import('./api.js').Health} Health */
/** @typedef {import('./store.js').Wishes} Wishes */

/** How many films may be judged at once; few, since a CPU judges ten to twenty a second. */
const COUNTS = [25, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
const USUAL = 50;

/** From which share of the most rated film's ratings a film is well known; below which it is not. */
const WELL = 1 / 5;
const LITTLE = 1 / 20;

/** The form beside the list. */
export class Controls {
  /** @param {import('./store.js').Store} store Keeps the wishes. */
  constructor(store) {
    this.store = store;
    this.candidates = byId('candidates', HTMLSelectElement);
    this.base = byId('base', HTMLInputElement);
    this.genre = byId('genre', HTMLSelectElement);
    this.without = byId('without', HTMLSelectElement);
    this.yearFrom = byId('year-from', HTMLInputElement);
    this.yearTo = byId('year-to', HTMLInputElement);
    this.known = byId('known', HTMLSelectElement);
    this.most = COUNTS[COUNTS.length - 1];
    this.canCompare = false;
    /** @type {Record<string, object>} */
    this.knownFilters = {};
    const form = byId('controls', HTMLFormElement);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('change', () => store.wish(this.#read()));
    byId('no-filters', HTMLButtonElement).addEventListener('click', () => store.unfilter());
    store.addEventListener('wishes', () => this.#show());
  }

  /** @returns {number} How many films are to be judged. */
  get count() {
    return Math.min(this.store.wishes.candidates ?? USUAL, this.most);
  }

  /** @returns {boolean} Whether the base model is to be asked too. */
  get compared() {
    return this.canCompare && this.store.wishes.base;
  }

  /** @returns {object} The films that come into question, as the service reads it. */
  get filters() {
    const { genre, without, yearFrom, yearTo, known } = this.store.wishes;
    return {
      genres: genre ? [genre] : [],
      without_genres: without ? [without] : [],
      year_from: yearFrom,
      year_to: yearTo,
      ...this.knownFilters[known],
    };
  }

  /** Offer what the service has. @param {Health} health @param {number} mostRatings Of one film. */
  offer(health, mostRatings) {
    this.most = health.limits.candidates;
    this.canCompare = health.tuned;
    byId('base-field', HTMLElement).hidden = !health.tuned;
    const counts = COUNTS.filter((count) => count < this.most && count < health.films);
    const top = Math.min(this.most, health.films);
    fill(this.candidates, [...counts, top].map((count) => [String(count), counted(count, 'film')]));
    const genres = health.genres.map((genre) => /** @type {[string, string]} */ ([genre, genre]));
    fill(this.genre, [['', 'Any'], ...genres]);
    fill(this.without, [['', 'None'], ...genres]);
    this.#offerKnown(mostRatings);
    this.#show();
  }

  /** @param {number} mostRatings */
  #offerKnown(mostRatings) {
    const well = Math.ceil(WELL * mostRatings);
    const little = Math.floor(LITTLE * mostRatings);
    this.knownFilters = {
      well: { min_ratings: well },
      between: { min_ratings: little + 1, max_ratings: well - 1 },
      little: { max_ratings: little },
    };
    fill(this.known, [
      ['', 'Any'],
      ['well', `Well known: ${grouped(well)} ratings or more`],
      ['between', 'In between'],
      ['little', `Little known: at most ${grouped(little)} ratings`],
    ]);
  }

  /** @returns {Partial<Wishes>} */
  #read() {
    return {
      candidates: Number(this.candidates.value),
      base: this.base.checked,
      genre: this.genre.value,
      without: this.without.value,
      yearFrom: yearOf(this.yearFrom),
      yearTo: yearOf(this.yearTo),
      known: this.known.value,
    };
  }

  #show() {
    const { wishes } = this.store;
    this.candidates.value = String(nearest(this.candidates, this.count));
    this.base.checked = wishes.base;
    this.genre.value = wishes.genre;
    this.without.value = wishes.without;
    this.yearFrom.value = wishes.yearFrom === null ? '' : String(wishes.yearFrom);
    this.yearTo.value = wishes.yearTo === null ? '' : String(wishes.yearTo);
    this.known.value = wishes.known;
    const { genre, without, yearFrom, yearTo, known } = wishes;
    const set = [genre, without, yearFrom, yearTo, known].filter((wish) => wish !== '' && wish !== null);
    byId('filters-set', HTMLElement).textContent = set.length ? ` (${set.length} set)` : '';
    byId('no-filters', HTMLButtonElement).hidden = !set.length;
  }
}

/** @param {HTMLSelectElement} select @param {[string, string][]} options Values and what is shown. */
function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make('option', { value }, text)));
}

/** @param {HTMLSelectElement} select @param {number} wanted @returns {number} The offered count next to it. */
function nearest(select, wanted) {
  const counts = [...select.options].map((option) => Number(option.value));
  return counts.reduce((best, count) => (count <= wanted ? count : best), counts[0]);
}

/** @param {HTMLInputElement} field @returns {number | null} */
function yearOf(field) {
  return field.value !== '' && field.validity.valid ? Number(field.value) : null;
}
