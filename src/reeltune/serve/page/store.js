/** What the visitor has said: their ratings and how they want the list. Kept across reloads. */

/** @typedef {import('./words.js').Film} Film */
/** @typedef {{film: Film, stars: number | null}} Rating Stars are null until some are given. */
/**
 * @typedef {object} Wishes
 * @property {number | null} candidates How many films to judge; null is for the page to choose.
 * @property {boolean} base Whether the base model is asked too.
 * @property {string} genre
 * @property {string} without
 * @property {number | null} yearFrom
 * @property {number | null} yearTo
 * @property {string} known
 */

const KEY = 'reeltune';

/** @type {Readonly<Wishes>} */
const NO_WISHES = Object.freeze({
  candidates: null,
  base: false,
  genre: '',
  without: '',
  yearFrom: null,
  yearTo: null,
  known: '',
});

/** Ratings, newest last, and wishes. Tells of a `ratings` or a `wishes` event when they change. */
export class Store extends EventTarget {
  constructor() {
    super();
    const kept = read();
    /** @type {Rating[]} */
    this.ratings = ratingsIn(kept?.ratings);
    this.wishes = wishesIn(kept?.wishes);
    /** @type {string | null} Names the films that the ratings are of. */
    this.data = isText(kept?.data) ? kept.data : null;
    /** How many ratings were of other films than those that are served. */
    this.foreign = 0;
    /** @type {{ratings: Rating[], what: string} | null} */
    this.undoable = null;
  }

  /**
   * Drop what was kept of other films: their ids mean others here.
   * @param {string} data Names the films that are served.
   */
  settle(data) {
    if (this.data === data) return;
    this.foreign = this.ratings.length;
    this.ratings = [];
    this.wishes = NO_WISHES;
    this.data = data;
    this.#changed('ratings');
    this.#changed('wishes');
  }

  /** @returns {Rating[]} Those with stars. */
  get rated() {
    return this.ratings.filter((rating) => rating.stars !== null);
  }

  /** @param {number} id @returns {Rating | undefined} The rating of a film. */
  of(id) {
    return this.ratings.find((rating) => rating.film.id === id);
  }

  /** Take a film into the list, to be given stars. @param {Film} film */
  add(film) {
    if (this.of(film.id)) return;
    this.foreign = 0;
    this.ratings.push({ film, stars: null });
    this.#changed('ratings');
  }

  /** Give a film stars; its place in the list stays. @param {Film} film @param {number} stars */
  rate(film, stars) {
    const known = this.of(film.id);
    if (known?.stars === stars) return;
    if (known) known.stars = stars;
    else this.ratings.push({ film, stars });
    this.undoable = null;
    this.#changed('ratings');
  }

  /** Take a film out of the list. @param {Film} film @param {string} what What that is called. */
  remove(film, what) {
    this.#replace(this.ratings.filter((rating) => rating.film.id !== film.id), what);
  }

  /** Take all films out of the list. @param {string} what What that is called. */
  clear(what) {
    this.#replace([], what);
  }

  /** Bring back what was taken out last. */
  undo() {
    if (!this.undoable) return;
    this.ratings = this.undoable.ratings;
    this.undoable = null;
    this.#changed('ratings');
  }

  /** Change some of the wishes. @param {Partial<Wishes>} wishes */
  wish(wishes) {
    this.wishes = { ...this.wishes, ...wishes };
    this.#changed('wishes');
  }

  /** Drop all wishes about which films come into question. */
  unfilter() {
    const { candidates, base } = this.wishes;
    this.wish({ ...NO_WISHES, candidates, base });
  }

  /** @param {Rating[]} ratings @param {string} what */
  #replace(ratings, what) {
    this.undoable = { ratings: this.ratings, what };
    this.ratings = ratings;
    this.#changed('ratings');
  }

  /** @param {'ratings' | 'wishes'} what */
  #changed(what) {
    write({ data: this.data, ratings: this.rated, wishes: this.wishes });
    this.dispatchEvent(new Event(what));
  }
}

/** @returns {any} What was kept, or null. */
function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? 'null');
  } catch (error) {
    // Storage can be switched off, and anybody can have written into it.
    if (!(error instanceof SyntaxError || error instanceof DOMException)) throw error;
    return null;
  }
}

/** @param {object} kept */
function write(kept) {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch (error) {
    // Without storage the page works until it is closed.
    if (!(error instanceof DOMException)) throw error;
  }
}

/** @param {any} kept @returns {Rating[]} The ratings that are what they should be. */
function ratingsIn(kept) {
  if (!Array.isArray(kept)) return [];
  const seen = new Set();
  return kept.flatMap((one) => {
    const film = filmIn(one?.film);
    if (!film || seen.has(film.id) || !isStars(one.stars)) return [];
    seen.add(film.id);
    return [{ film, stars: one.stars }];
  });
}

/** @param {any} film @returns {Film | null} */
function filmIn(film) {
  if (!Number.isSafeInteger(film?.id) || typeof film.title !== 'string') return null;
  const genres = Array.isArray(film.genres) ? film.genres.filter(isText) : [];
  const ratings = Number.isSafeInteger(film.ratings) ? film.ratings : 0;
  return { id: film.id, title: film.title, year: yearIn(film.year), genres, ratings };
}

/** @param {any} kept @returns {Wishes} */
function wishesIn(kept) {
  const count = kept?.candidates;
  return {
    candidates: Number.isSafeInteger(count) && count > 0 ? count : null,
    base: kept?.base === true,
    genre: isText(kept?.genre) ? kept.genre : '',
    without: isText(kept?.without) ? kept.without : '',
    yearFrom: yearIn(kept?.yearFrom),
    yearTo: yearIn(kept?.yearTo),
    known: isText(kept?.known) ? kept.known : '',
  };
}

/** @param {any} year @returns {number | null} */
function yearIn(year) {
  return Number.isSafeInteger(year) && year >= 0 && year < 10000 ? year : null;
}

/** @param {any} value @returns {value is string} */
function isText(value) {
  return typeof value === 'string';
}

/** @param {any} stars @returns {boolean} */
function isStars(stars) {
  return Number.isInteger(2 * stars) && stars >= 0.5 && stars <= 5;
}
