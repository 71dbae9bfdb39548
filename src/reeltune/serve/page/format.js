/** Items and numbers as text. */

/** @typedef {{item_id: number, title: string, year: number | null, genres: string[], ratings: number}} Item */

const NUMBER = new Intl.NumberFormat('en');

/** @param {Item} item @returns {string} Its title, with its year if known. */
export function itemName(item) {
  const title = item.title || 'Untitled';
  return item.year === null ? title : `${title} (${item.year})`;
}

/** @param {Item} item @returns {string} Its first genres, on one line. */
export function genreText(item) {
  return item.genres.slice(0, 3).join(', ');
}

/** @param {number} count @param {string} noun Singular. @returns {string} "1 film" or "9,742 films". */
export function countText(count, noun) {
  return `${numberText(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** @param {number} stars @returns {string} "1 star" or "4.5 stars". */
export function starsText(stars) {
  return `${stars} ${stars === 1 ? 'star' : 'stars'}`;
}

/**
 * @param {number} probability 0 to 1.
 * @returns {string} In percent with one decimal: neighbours in a list often differ by less than 1 %.
 */
export function percent(probability) {
  return `${(100 * probability).toFixed(1)}\u202f%`;
}

/** @param {number} effect Difference of two probabilities. @returns {string} Percentage points with sign. */
export function points(effect) {
  const size = Math.abs(100 * effect).toFixed(1);
  const sign = size === '0.0' ? '±' : effect > 0 ? '+' : '−';
  return `${sign}${size}`;
}

/** @param {number} number @returns {string} With thousands separators. */
export function numberText(number) {
  return NUMBER.format(number);
}
