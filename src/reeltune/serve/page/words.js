/** Films and numbers in words. */

/** @typedef {{id: number, title: string, year: number | null, genres: string[], ratings: number}} Film */

const NUMBER = new Intl.NumberFormat('en');

/**
 * @param {Film} film
 * @returns {string} Its title, with its year where that is known.
 */
export function nameOf(film) {
  const title = film.title || 'Untitled';
  return film.year === null ? title : `${title} (${film.year})`;
}

/**
 * @param {Film} film
 * @returns {string} Its genres, in one line.
 */
export function genresOf(film) {
  return film.genres.slice(0, 3).join(', ');
}

/**
 * @param {number} count How many.
 * @param {string} thing One of them.
 * @returns {string} As in "1 film" and "9,742 films".
 */
export function counted(count, thing) {
  return `${NUMBER.format(count)} ${thing}${count === 1 ? '' : 's'}`;
}

/**
 * @param {number} stars
 * @returns {string} As in "1 star" and "4.5 stars".
 */
export function starsInWords(stars) {
  return `${stars} ${stars === 1 ? 'star' : 'stars'}`;
}

/**
 * @param {number} chance 0 to 1.
 * @returns {string} In percent, with one decimal: neighbours in a list often differ by no more.
 */
export function percent(chance) {
  return `${(100 * chance).toFixed(1)}\u202f%`;
}

/**
 * @param {number} moved A difference of two chances, -1 to 1.
 * @returns {string} In percentage points, with its sign.
 */
export function points(moved) {
  const size = Math.abs(100 * moved).toFixed(1);
  const sign = size === '0.0' ? '±' : moved > 0 ? '+' : '−';
  return `${sign}${size}`;
}

/**
 * @param {number} number
 * @returns {string} With its thousands parted.
 */
export function grouped(number) {
  return NUMBER.format(number);
}
