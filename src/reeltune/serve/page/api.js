/** The service, asked over HTTP. */

/** @typedef {import('./words.js').Film} Film */
/** @typedef {{item_id: number, rating: number}} Rated */
/** @typedef {{film: Film, rating: number, moved: number}} Reason */
/** @typedef {{film: Film, p_like: number, p_like_base: number | null, why: Reason[]}} Recommendation */
/** @typedef {{recommendations: Recommendation[], judged: number, fitting: number}} Answer */
/**
 * @typedef {object} Health
 * @property {string} model
 * @property {boolean} tuned
 * @property {string} data
 * @property {number} films
 * @property {number} history_len
 * @property {boolean} every_rating_counts
 * @property {string[]} genres
 * @property {{min: number, max: number, step: number}} scale
 * @property {{candidates: number, history: number, top: number}} limits
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

/** Keep a token as long as this tab is open, and send it from now on. @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** @returns {Promise<Health>} */
export function health() {
  return ask('health', {});
}

/**
 * @param {string} query A title or a part of one; nothing for the most rated films.
 * @param {number} limit How many at most.
 * @param {AbortSignal} [signal] Gives the request up.
 * @returns {Promise<Film[]>}
 */
export async function films(query, limit, signal) {
  const wanted = new URLSearchParams({ query, limit: String(limit) });
  return (await ask(`films?${wanted}`, { signal })).films;
}

/**
 * @param {object} body What to judge, and after which ratings.
 * @param {AbortSignal} [signal] Gives the request up.
 * @returns {Promise<Answer>}
 */
export function recommendations(body, signal) {
  return ask('recommendations', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
}

/**
 * @param {string} path Where, beside the page.
 * @param {RequestInit} request
 * @returns {Promise<any>} The answer.
 * @throws {ServiceError} There is none, or a refusal.
 * @throws {DOMException} The request was given up.
 */
async function ask(path, request) {
  const headers = new Headers(request.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers.set('Authorization', `Bearer ${token}`);
  let response;
  let text;
  try {
    response = await fetch(path, { ...request, headers, cache: 'no-store' });
    text = await response.text();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw unreachable();
  }
  const told = parsed(text);
  if (response.ok && told !== null) return told;
  throw refusal(response, told);
}

/** @param {string} text @returns {any} What it says as JSON, or null. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return null;
  }
}

/** @returns {ServiceError} */
function unreachable() {
  // A service on this machine can be reached without a network, so that alone says nothing.
  const hint = navigator.onLine
    ? 'See whether it still runs, then try again'
    : 'This device is offline; your ratings are kept here';
  return new ServiceError('no_answer', 'The service does not answer', hint);
}

/** @param {Response} response @param {any} told @returns {ServiceError} */
function refusal(response, told) {
  const seconds = Number(response.headers.get('Retry-After') ?? NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : null;
  if (typeof told?.code !== 'string' || typeof told.message !== 'string') {
    return new ServiceError('unknown_error', `The service answered with status ${response.status}`, null, retryAfter);
  }
  const message = typeof told.where === 'string' ? `${told.where}: ${told.message}` : told.message;
  return new ServiceError(told.code, message, typeof told.hint === 'string' ? told.hint : null, retryAfter);
}
