/** The visitor's ratings and settings, saved in the browser. */

/** @typedef {import('./format.js').Item} Item */
/** @typedef {{item: Item, rating: number | null}} Rating The rating is null until one is given. */
/**
 * @typedef {object} Settings
 * @property {number | null} candidates How many items to score; null for the page's default.
 * @property {boolean} base Whether to compare with the base model.
 * @property {string} genre
 * @property {string} without
 * @property {number | null} yearFrom
 * @property {number | null} yearTo
 * @property {string} known
 */

const KEY = 'reeltune';

/** @type {Readonly<Settings>} */
const DEFAULTS = Object.freeze({
  candidates: null,
  base: false,
  genre: '',
  without: '',
  yearFrom: null,
  yearTo: null,
  known: '',
});

/** Ratings, newest last, and settings. Dispatches `ratings` and `settings` events on changes. */
export class Store extends EventTarget {
  constructor() {
    super();
    const saved = read();
    /** @type {Rating[]} */
    this.ratings = parseRatings(saved?.ratings);
    this.settings = parseSettings(saved?.settings ?? saved?.wishes);
    /** @type {string | null} Identifies the data set that the ratings belong to. */
    this.data = isText(saved?.data) ? saved.data : null;
    /** How many saved ratings were dropped because they belong to another data set. */
    this.dropped = 0;
    /** @type {{ratings: Rating[], message: string} | null} What undo restores. */
    this.removed = null;
  }

  /**
   * Drop what was saved for another data set, where the same ids mean other items, or another scale.
   * @param {string} data Identifies the data set that is served.
   * @param {import('./api.js').Health['scale']} scale Its ratings.
   */
  useData(data, scale) {
    const kept = this.data === data ? this.ratings.filter(({ rating }) => isOnScale(rating, scale)) : [];
    if (this.data === data && kept.length === this.ratings.length) return;
    this.dropped = this.ratings.length - kept.length;
    this.ratings = kept;
    if (this.data !== data) this.settings = DEFAULTS;
    this.data = data;
    this.#changed('ratings');
    this.#changed('settings');
  }

  /** @returns {Rating[]} Those with a rating. */
  get rated() {
    return this.ratings.filter(({ rating }) => rating !== null);
  }

  /** @param {Item['item_id']} itemId @returns {Rating | undefined} */
  get(itemId) {
    return this.ratings.find(({ item }) => item.item_id === itemId);
  }

  /** Add an item without a rating. @param {Item} item */
  add(item) {
    if (this.get(item.item_id)) return;
    this.dropped = 0;
    this.ratings.push({ item, rating: null });
    this.#changed('ratings');
  }

  /** Set a rating; the item keeps its position in the list. @param {Item} item @param {number} rating */
  rate(item, rating) {
    const entry = this.get(item.item_id);
    if (entry?.rating === rating) return;
    if (entry) entry.rating = rating;
    else this.ratings.push({ item, rating });
    this.removed = null;
    this.#changed('ratings');
  }

  /** Remove an item. @param {Item} item @param {string} message Shown beside undo. */
  remove(item, message) {
    this.#replace(this.ratings.filter((entry) => entry.item.item_id !== item.item_id), message);
  }

  /** Remove all items. @param {string} message Shown beside undo. */
  clear(message) {
    this.#replace([], message);
  }

  /** Restore what was removed last. */
  undo() {
    if (!this.removed) return;
    this.ratings = this.removed.ratings;
    this.removed = null;
    this.#changed('ratings');
  }

  /** @param {Partial<Settings>} settings Those to change. */
  update(settings) {
    this.settings = { ...this.settings, ...settings };
    this.#changed('settings');
  }

  /** Reset all filters. */
  clearFilters() {
    const { candidates, base } = this.settings;
    this.update({ ...DEFAULTS, candidates, base });
  }

  /** @param {Rating[]} ratings @param {string} message */
  #replace(ratings, message) {
    this.removed = { ratings: this.ratings, message };
    this.ratings = ratings;
    this.#changed('ratings');
  }

  /** @param {'ratings' | 'settings'} what */
  #changed(what) {
    write({ data: this.data, ratings: this.rated, settings: this.settings });
    this.dispatchEvent(new Event(what));
  }
}

/** @returns {any} What was saved, or null. */
function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? 'null');
  } catch (error) {
    // Storage can be switched off, and can hold anything.
    if (!(error instanceof SyntaxError || error instanceof DOMException)) throw error;
    return null;
  }
}

/** @param {object} saved */
function write(saved) {
  try {
    localStorage.setItem(KEY, JSON.stringify(saved));
  } catch (error) {
    // Without storage the page works until it is closed.
    if (!(error instanceof DOMException)) throw error;
  }
}

/** @param {any} saved @returns {Rating[]} The valid ratings. */
function parseRatings(saved) {
  if (!Array.isArray(saved)) return [];
  const seen = new Set();
  return saved.flatMap((entry) => {
    // The former format is {film: {id, ...}, stars}.
    const item = parseItem(entry?.item ?? entry?.film);
    const rating = entry?.rating ?? entry?.stars;
    if (!item || seen.has(item.item_id) || !Number.isFinite(rating)) return [];
    seen.add(item.item_id);
    return [{ item, rating }];
  });
}

/** @param {any} saved @returns {Item | null} */
function parseItem(saved) {
  const itemId = saved?.item_id ?? saved?.id;
  if (!(Number.isSafeInteger(itemId) || isText(itemId)) || typeof saved.title !== 'string') return null;
  const genres = Array.isArray(saved.genres) ? saved.genres.filter(isText) : [];
  const ratings = Number.isSafeInteger(saved.ratings) ? saved.ratings : 0;
  return { item_id: itemId, title: saved.title, year: parseYear(saved.year), genres, ratings };
}

/** @param {any} saved @returns {Settings} */
function parseSettings(saved) {
  const count = saved?.candidates;
  return {
    candidates: Number.isSafeInteger(count) && count > 0 ? count : null,
    base: saved?.base === true,
    genre: isText(saved?.genre) ? saved.genre : '',
    without: isText(saved?.without) ? saved.without : '',
    yearFrom: parseYear(saved?.yearFrom),
    yearTo: parseYear(saved?.yearTo),
    known: isText(saved?.known) ? saved.known : '',
  };
}

/** @param {any} year @returns {number | null} */
function parseYear(year) {
  return Number.isSafeInteger(year) && year >= 0 && year < 10000 ? year : null;
}

/** @param {any} value @returns {value is string} */
function isText(value) {
  return typeof value === 'string';
}

/** @param {number | null} rating @param {import('./api.js').Health['scale']} scale @returns {boolean} */
function isOnScale(rating, { min, max, step }) {
  if (rating === null) return true;
  const steps = (rating - min) / step;
  return rating >= min && rating <= max && Math.abs(steps - Math.round(steps)) < 1e-4;
}
