"""A small transformer over a user's earlier events with their ratings, and its training.

Each candidate attends to the events before it, as in DIN (Zhou et al. 2018,
https://arxiv.org/abs/1706.06978), with the causal mask and residual blocks of SASRec (Kang and
McAuley 2018, https://arxiv.org/abs/1808.09781). No library does this: SASRec of RecTools and of
RecBole ranks next items, DIN of RecBole reads items without their ratings.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit, logit
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from reeltune.baselines.features import RECENT, Rows
from reeltune.baselines.problem import Floats, Ints, Problem, mean_log_loss
from reeltune.seeds import sample_rows, stream
from reeltune.signals.item_statistics import ITEM_PRIOR
from reeltune.signals.user_features import USER_PRIOR, genre_table, item_years, user_features

HISTORY: Final = 128
CHUNK: Final = 32
BATCH: Final = 48
"""Newest events that a candidate sees, candidates of one user in a chunk, chunks in a step."""

MOST_CHUNKS: Final = 10_000
MOST_VALIDATION_ROWS: Final = 20_000
"""Random chunks to learn from, and random validation rows that decide when to stop."""

COMPONENTS: Final = 32
"""Dimensions of an item's vector of co-occurrence."""

WIDTH: Final = 32
HEADS: Final = 4
DROPOUT: Final = 0.2
LEARNING_RATE: Final = 3e-3

EPOCHS: Final = 12
PATIENCE: Final = 3
AVERAGE: Final = 0.98
"""Epochs at most, epochs without a lower log loss after which to stop, decay of mean weights."""

STATISTICS, RATING, USER = 3, 3, 6
"""Columns of :attr:`Events.table`: of an event's item, its rating, and its user before it."""


@dataclass(frozen=True)
class Events:
    """The inputs of the network, one row per event.

    Attributes:
        item_idx: The item of each event, int64.
        table: Like rate, count and mean rating of the item by users of other folds; the rating,
            whether it is a like, and its difference from that mean; the user's like rates, mean
            differences, log(1 + events, seconds since one) before it. float32.
        position: Number of the user's earlier events, a numpy array of int64.
    """

    item_idx: Tensor
    table: Tensor
    position: Ints

    @classmethod
    def of(cls, rows: Rows) -> Events:
        """Compute the inputs of events, or of a history and then its candidates."""
        item, running, lift = rows.item, rows.running, rows.lift
        user = user_features(running, rows.liked, item.any_like)
        recent = running.recent(lift, RECENT) / (np.minimum(user.events, RECENT) + USER_PRIOR)
        mean_lift = running.earlier(lift) / (user.events + USER_PRIOR)
        since = np.log1p([user.events, rows.gap])
        statistics = logit(item.like_rate), np.log1p(item.count), item.rating
        columns = [*statistics, rows.rating, rows.liked, lift]
        columns += [logit(user.like_rate), logit(user.lately), recent, mean_lift, *since]
        return cls(
            item_idx=torch.from_numpy(rows.item_idx.astype(np.int64)),
            table=_float32(columns),
            position=running.before.astype(np.int64),
        )

    def chunk_of(self, event: Ints) -> Ints:
        """Return the first event of each event's chunk."""
        return event - self.position[event] % CHUNK


def item_vectors(problem: Problem) -> Floats:
    """Return vectors of items that are similar if the same users rated both.

    A truncated SVD of who rated what among training ratings; their values would tell training rows
    their labels. Shape ``(items, components)``, zero for items without training ratings.
    """
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import aslinearoperator, eigsh

    users, user = np.unique(problem.timelines.user_id[problem.ratings], return_inverse=True)
    item = problem.timelines.item_idx[problem.ratings]
    shape = len(users), len(problem.items)
    components = min(COMPONENTS + 1, min(shape) - 1)
    if components < 2:
        return np.zeros((shape[1], 0))
    weight = 1 / np.sqrt(np.bincount(user)[user] * (np.bincount(item)[item] + ITEM_PRIOR))
    table = aslinearoperator(csc_array((weight, (user, item)), shape))
    # Not svds, which passes no rng on (scipy 1.17): with few users or items the vectors, and all
    # that is learned from them, would then differ from call to call.
    square, vectors = eigsh(
        table.H @ table, components, v0=np.ones(shape[1]), rng=stream(problem.seed, "item vectors")
    )
    found = (vectors * np.sqrt(square.clip(min=0)))[:, :-1]  # the last is the popularity
    return found / np.sqrt(4 * (found**2).mean(1, keepdims=True) + 1e-6)


def _float32(columns: list[npt.NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.column_stack(columns).astype(np.float32))


class SequenceNetwork(nn.Module):
    """Log-odds of a like, from one block of attention of candidates to events.

    Attributes:
        items: Genres, year and vector of co-occurrence of each item, shape ``(items, columns)``.
        scale: Mean and standard deviation of the columns of a table, shape ``(2, columns)``.
    """

    items: Tensor
    scale: Tensor

    def __init__(self, items: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("items", torch.zeros(items, columns))
        self.register_buffer("scale", torch.ones(2, STATISTICS + RATING + USER))
        self.item = nn.Linear(columns + STATISTICS, WIDTH)
        self.user, self.rating = nn.Linear(USER, WIDTH), nn.Linear(RATING, 2 * WIDTH)
        self.candidate_norm, self.event_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, add_bias_kv=True, batch_first=True)
        wide = nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Dropout(DROPOUT)
        narrow = nn.Linear(2 * WIDTH, WIDTH), nn.Dropout(DROPOUT)
        self.feed_forward = nn.Sequential(nn.LayerNorm(WIDTH), *wide, *narrow)
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 1))
        self.linear = nn.Linear(STATISTICS + USER, 1)

    def forward(self, events: Events, first: Ints) -> tuple[Tensor, Tensor]:
        """Return log-odds and events of chunks' candidates, ``(n, CHUNK)``; -1 where is none."""
        start, before = first - events.position[first], min(HISTORY, events.position[first].max())
        place = first[:, None] + np.arange(-before, CHUNK)
        inside = np.clip(place, 0, len(events.position) - 1)
        mine = (place == inside) & (inside - events.position[inside] == start[:, None])
        index, own = torch.from_numpy(inside), torch.from_numpy(mine)
        far = torch.arange(before, before + CHUNK)[:, None] - torch.arange(before + CHUNK)
        hidden = ~((far > 0) & (far <= HISTORY) & own[:, None])
        bias = _fading(far.clamp(min=0)).masked_fill(hidden[:, None], -1e9).flatten(0, 1)
        return self._log_odds(events, index, bias), index[:, before:].where(own[:, before:], -1)

    @torch.no_grad()
    def of_events(self, events: Events, event: Ints) -> Floats:
        """Return the log-odds of events, given by index, shape ``(n,)``."""
        log_odds = np.zeros(len(events.position))
        for first in _batches(events, np.unique(events.chunk_of(event))):
            found, target = self(events, first)
            known = target >= 0
            log_odds[target[known].numpy()] = found[known].double().numpy()
        return log_odds[event]

    @torch.no_grad()
    def of_query(self, events: Events, candidates: int) -> Floats:
        """Return the log-odds of the last events, each right after the history before them all."""
        known = len(events.position) - candidates
        seen, log_odds = torch.arange(max(0, known - HISTORY), known), [np.zeros(0)]
        for target in torch.arange(known, known + candidates).split(BATCH * CHUNK):
            bias = _fading(known - seen[None]).expand(-1, len(target), -1)
            found = self._log_odds(events, torch.cat([seen, target])[None], bias)
            log_odds.append(found[0].double().numpy())
        return np.concatenate(log_odds)

    def _log_odds(self, events: Events, index: Tensor, bias: Tensor) -> Tensor:
        """Return log-odds, shape ``(n, candidates)``.

        Args:
            index: Of events: the first are seen, the last are candidates, and some may be both.
            bias: Added to the attention, shape ``(n * HEADS, candidates, seen)``.
        """
        own, seen = slice(index.shape[1] - bias.shape[1], None), slice(bias.shape[2])
        table = (events.table[index] - self.scale[0]) / self.scale[1]
        statistics, rating, user = table.split([STATISTICS, RATING, USER], 2)
        item = self.item(torch.cat([self.items[events.item_idx[index]], statistics], 2))
        shift, scale = self.rating(rating[:, seen]).chunk(2, 2)
        value = item[:, seen] * (1 + scale) + shift
        candidates = item[:, own] + self.user(user[:, own])
        query, key = self.candidate_norm(candidates), self.event_norm(value)
        found, _ = self.attention(query, key, value, attn_mask=bias, need_weights=False)
        candidates = candidates + functional.dropout(found, DROPOUT, self.training)
        linear = self.linear(torch.cat([statistics[:, own], user[:, own]], 2))
        return (self.out(candidates + self.feed_forward(candidates)) + linear)[..., 0]


def _fading(far: Tensor) -> Tensor:
    """Return less the farther an event is, in each head at another rate, as its logarithm."""
    return -torch.linspace(0, 1, HEADS)[:, None, None] * torch.log1p(far)


def _batches(events: Events, chunks: Ints) -> list[Ints]:
    """Return batches of chunks with histories of similar length."""
    length = np.minimum(events.position[chunks], HISTORY) // 64
    chunks = chunks[np.argsort(length, kind="stable")]
    return [chunks[begin : begin + BATCH] for begin in range(0, len(chunks), BATCH)]


def fit_network(problem: Problem, events: Events) -> tuple[SequenceNetwork, dict[str, int]]:
    """Return the network of the epoch with the lowest log loss on validation rows, and settings."""
    chunk = events.chunk_of(problem.train)
    chunks = _sample(np.unique(chunk), MOST_CHUNKS, problem.seed)
    rows = problem.train[np.isin(chunk, chunks)]
    threads = torch.get_num_threads()
    # The products are small, so further threads would be busy waiting for the first one.
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stream(problem.seed, "sequence model").integers(2**31)))
            network, epochs = _train(events, problem, rows)
    finally:
        torch.set_num_threads(threads)
    return network, {"epochs": epochs, "chunks": len(chunks), "learned_from": len(rows)}


def _train(events: Events, problem: Problem, rows: Ints) -> tuple[SequenceNetwork, int]:
    """Return the averaged network of the best epoch, and the number of that epoch."""
    year = item_years(problem.items, np.nanmean)
    year = (year - year.mean()) / (year.std() or 1)
    items = _float32([genre_table(problem.items), year, item_vectors(problem)])
    spread, mean = torch.std_mean(events.table[problem.train], 0, correction=0)
    network = SequenceNetwork(*items.shape)
    network.items, network.scale = items, torch.stack([mean, spread.where(spread > 1e-6, 1)])
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE)).eval()
    averaged = cast(SequenceNetwork, average.module)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.05)
    chunks = np.unique(events.chunk_of(rows))
    steps = EPOCHS * ceil(len(chunks) / BATCH)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    learned = torch.zeros(len(events.position), dtype=torch.bool)
    learned[rows] = True
    random = stream(problem.seed, "batches of the sequence model")
    stop = _sample(problem.validation, MOST_VALIDATION_ROWS, problem.seed)
    best: tuple[float, int, SequenceNetwork] = inf, 0, averaged
    for epoch in range(1, EPOCHS + 1):
        order = _batches(events, random.permutation(chunks))
        for batch in random.permutation(len(order)):
            loss = _loss(network, events, order[batch], learned)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
        nats = mean_log_loss(problem.liked(stop), expit(averaged.of_events(events, stop)))
        if nats < best[0]:
            best = nats, epoch, deepcopy(averaged)
        if epoch - best[1] >= PATIENCE:
            break
    return best[2], best[1]


def _loss(network: SequenceNetwork, events: Events, first: Ints, learned: Tensor) -> Tensor:
    """Return the log loss plus the RankNet loss of chunks, as ``training.loss.pairwise_loss``."""
    log_odds, target = network(events, first)
    row = (target >= 0) & learned[target]
    liked = events.table[target, STATISTICS + 1]
    loss = functional.binary_cross_entropy_with_logits(log_odds[row], liked[row], reduction="sum")
    pair = (row & (liked == 1))[:, :, None] & (row & (liked == 0))[:, None, :]
    losses = functional.softplus(log_odds[:, None, :] - log_odds[:, :, None]) * pair
    of_chunk = losses.sum((1, 2)) / pair.sum((1, 2)).clamp(min=1) * row.sum(1)
    return (loss + of_chunk.sum()) / row.sum()


def _sample(events: Ints, limit: int, seed: int) -> Ints:
    return events[sample_rows(len(events), limit, seed, "sequence model")]
