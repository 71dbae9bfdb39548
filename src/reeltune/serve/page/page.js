/** The page: rate items, and see which others the model thinks you will like. */

import { getHealth, ServiceError } from './api.js';
import { Carousel } from './carousel.js';
import { Controls } from './controls.js';
import { byId } from './dom.js';
import { ErrorNotice } from './error_notice.js';
import { itemCount, useDomain } from './format.js';
import { RecommendationLoader } from './loader.js';
import { RatingList } from './rating_list.js';
import { ResultList } from './results.js';
import { Search } from './search.js';
import { useScale } from './star_input.js';
import { Store } from './store.js';

const store = new Store();
const notice = new ErrorNotice();
const ratings = new RatingList(store);
const carousel = new Carousel(store);
const controls = new Controls(store);
const search = new Search(store, rate);
/** @type {RecommendationLoader} */
const loader = new RecommendationLoader(store, controls, new ResultList(rate, () => loader.load()), notice);

/** Add an item to the ratings and focus its stars. @param {import('./format.js').Item} item */
function rate(item) {
  store.add(item);
  ratings.focus(item);
}

/** Load what the service offers, and start. */
async function start() {
  try {
    const health = await getHealth();
    const model = health.tuned ? `${health.model}, tuned` : `${health.model}, not tuned`;
    useDomain(health.domain);
    byId('facts', HTMLElement).textContent = `${model} · ${itemCount(health.items)}`;
    useScale(health.scale);
    store.useData(health.data, health.scale);
    await carousel.load();
    controls.setOptions(health, carousel.mostRatings);
    ratings.setHistory(health.history_len, health.uses_all_ratings);
    search.enable();
    notice.clear();
    loader.start(health.limits);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    notice.show(error, start);
  }
}

start();
