/** The HTTP API of the service. */

/** @typedef {import('./format.js').Item} Item */
/** @typedef {{item: Item, rating: number, effect: number}} Reason */
/** @typedef {{item: Item, p_like: number, p_like_base: number | null, reasons: Reason[]}} Recommendation */
/** @typedef {{recommendations: Recommendation[], scored: number, eligible: number, notes: string[], history: object[]}} Recommendations */
/** @typedef {{rating: number, said: string, label: string}} SaidRating */
/**
 * @typedef {object} Health
 * @property {string} model
 * @property {boolean} tuned
 * @property {string} data
 * @property {number} items
 * @property {number} history_len
 * @property {boolean} uses_all_ratings
 * @property {string[]} genres
 * @property {{min: number, max: number, step: number}} scale
 * @property {{item: string, items: string, noun: string, ratings: SaidRating[]}} domain
 * @property {{candidates: number, history: number, top_k: number}} limits
 */

const TOKEN = 'reeltune.token';

/** A request that failed, with the message of the service. */
export class ServiceError extends Error {
  /**
   * @param {string} code Stable name of the problem; docs/ERRORS.md lists those of the service.
   * @param {string} message What is wrong.
   * @param {string | null} hint How to fix it.
   * @param {number | null} retryAfter When to retry, in seconds.
   */
  constructor(code, message, hint = null, retryAfter = null) {
    super(message);
    this.name = 'ServiceError';
    this.code = code;
    this.hint = hint;
    this.retryAfter = retryAfter;
  }
}

/** Send a token from now on, until this tab is closed. @param {string} token */
export function saveToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** @returns {Promise<Health>} */
export function getHealth() {
  return request('health', {});
}

/**
 * @param {string} query A title or part of one; empty for the most rated items.
 * @param {number} limit Most items to return.
 * @param {AbortSignal} [signal] Cancels the request.
 * @returns {Promise<Item[]>}
 */
export async function findItems(query, limit, signal) {
  const parameters = new URLSearchParams({ query, limit: String(limit) });
  return (await request(`items?${parameters}`, { signal })).items;
}

/**
 * @param {object} body The request, as described at /docs.
 * @param {AbortSignal} [signal] Cancels the request.
 * @returns {Promise<Recommendations>}
 */
export function recommend(body, signal) {
  return request('recommendations', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
}

/**
 * @param {string} path Relative to the page.
 * @param {RequestInit} init
 * @returns {Promise<any>} The JSON of the response.
 * @throws {ServiceError} The service cannot be reached or answers with an error.
 * @throws {DOMException} The request was cancelled.
 */
async function request(path, init) {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers.set('Authorization', `Bearer ${token}`);
  let response;
  let text;
  try {
    response = await fetch(path, { ...init, headers, cache: 'no-store' });
    text = await response.text();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw unreachable();
  }
  const json = parse(text);
  if (response.ok && json !== null) return json;
  throw errorOf(response, json);
}

/** @param {string} text @returns {any} The JSON, or null if it is none. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return null;
  }
}

/** @returns {ServiceError} */
function unreachable() {
  // A service on this machine can be reached without a network, so being offline is only a hint.
  const hint = navigator.onLine
    ? 'See whether it still runs, then try again'
    : 'This device is offline; your ratings are kept here';
  return new ServiceError('unreachable', 'The service does not answer', hint);
}

/** @param {Response} response @param {any} json @returns {ServiceError} */
function errorOf(response, json) {
  const seconds = Number(response.headers.get('Retry-After') ?? NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : null;
  if (typeof json?.code !== 'string' || typeof json.message !== 'string') {
    return new ServiceError('unknown_error', `The service answered with status ${response.status}`, null, retryAfter);
  }
  const message = typeof json.where === 'string' ? `${json.where}: ${json.message}` : json.message;
  return new ServiceError(json.code, message, typeof json.hint === 'string' ? json.hint : null, retryAfter);
}
