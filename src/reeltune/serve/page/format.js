/** Items and numbers as text. */

/** @typedef {{item_id: number | string, title: string, year: number | null, genres: string[], ratings: number}} Item */

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

/** @type {import('./api.js').Health['domain']} What items and ratings are called in the data. */
let domain = { item: 'item', items: 'items', noun: 'rating', ratings: [] };

/** @param {import('./api.js').Health['domain']} served The words to use from now on. */
export function useDomain(served) {
  domain = served;
}

/** @returns {import('./api.js').Health['domain']} The words in use. */
export function words() {
  return domain;
}

/** @param {number} count @returns {string} "1 film" or "9,742 films". */
export function itemCount(count) {
  return `${numberText(count)} ${count === 1 ? domain.item : domain.items}`;
}

/** @param {number} count @param {string} noun Singular. @returns {string} "1 rating" or "12 ratings". */
export function countText(count, noun) {
  return `${numberText(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** @param {number} rating @returns {{said: string, label: string}} "4.5 stars" and "4.5", or "8 of 10" and "8". */
export function ratingWords(rating) {
  const known = domain.ratings.find((each) => Math.abs(each.rating - rating) < 1e-6);
  return known ?? { said: String(rating), label: String(rating) };
}

/** @param {string} text @returns {string} With its first letter in upper case. */
export function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
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

/** @param {string} text @returns {string} With a capital and a full stop. */
export function sentence(text) {
  return /[.!?]$/.test(text) ? capitalized(text) : `${capitalized(text)}.`;
}
