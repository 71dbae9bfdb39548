/** The page: rate films, and see which others a model thinks you will like. */

import { health, ServiceError } from './api.js';
import { Asking } from './asking.js';
import { Controls } from './controls.js';
import { byId } from './dom.js';
import { List } from './list.js';
import { Notice } from './notice.js';
import { Ratings } from './ratings.js';
import { Search } from './search.js';
import { Shelf } from './shelf.js';
import { useScale } from './stars.js';
import { Store } from './store.js';
import { counted } from './words.js';

const store = new Store();
const notice = new Notice();
const ratings = new Ratings(store);
const shelf = new Shelf(store);
const controls = new Controls(store);
const search = new Search(store, rate);
/** @type {Asking} */
const asking = new Asking(store, controls, new List(rate, () => asking.now()), notice);

/** Take a film into the list and go to its stars. @param {import('./words.js').Film} film */
function rate(film) {
  store.add(film);
  ratings.focus(film);
}

/** Ask the service what it has, and begin. */
async function start() {
  try {
    const told = await health();
    const model = told.tuned ? `${told.model}, tuned` : `${told.model}, not tuned`;
    byId('facts', HTMLElement).textContent = `${model} · ${counted(told.films, 'film')}`;
    useScale(told.scale);
    store.settle(told.data);
    await shelf.load();
    controls.offer(told, shelf.mostRatings);
    ratings.readsNewest(told.history_len, told.every_rating_counts);
    search.enable();
    notice.clear();
    asking.begin(told.limits);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    notice.show(error, start);
  }
}

start();
