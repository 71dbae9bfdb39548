"""A sequence model: a small transformer over a user's earlier events with their ratings.

Each candidate attends to the events before it, as in DIN (Zhou et al. 2018,
https://arxiv.org/abs/1706.06978), with the causal mask and residual blocks of SASRec (Kang and
McAuley 2018, https://arxiv.org/abs/1808.09781). No library does this: SASRec of RecTools and of
RecBole ranks next items, DIN of RecBole reads items without their ratings.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit, logit
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from reeltune.baselines.features import RECENT
from reeltune.baselines.problem import BaselineScores, Floats, Ints, Problem, mean_log_loss
from reeltune.seeds import sample_rows, stream
from reeltune.signals.item_statistics import ITEM_PRIOR, assign_folds, statistics_without_folds
from reeltune.signals.running_statistics import RunningStatistics
from reeltune.signals.user_features import USER_PRIOR, genre_table, user_features

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


def sequence_model(problem: Problem) -> BaselineScores:
    """Predict with the network of the epoch with the lowest log loss on validation rows."""
    events = Events.of(problem)
    chunk = events.chunk_of(problem.train)
    chunks = _sample(np.unique(chunk), MOST_CHUNKS, problem.seed)
    rows = problem.train[np.isin(chunk, chunks)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(problem.seed, "sequence model").integers(2**31)))
        network, epochs = _train(events, problem, rows)
    validation, test = (
        expit(log_odds_of(network, events, event)) for event in (problem.validation, problem.test)
    )
    return BaselineScores(validation, test, len(rows), {"epochs": epochs, "chunks": len(chunks)})


@dataclass(frozen=True)
class Events:
    """The inputs of the network, float32 unless stated otherwise; one row per event, or item.

    Attributes:
        item_idx: The item of each event, int64.
        items: Genres and vector of co-occurrence of each item.
        statistics: Like rate, count and mean rating of the item by users of other folds.
        rating: The rating, whether it is a like, and its difference from the item's mean.
        user: Before the event: like rates, mean differences, log(1 + events, seconds since one).
        liked: The label, 0 or 1.
        position: Number of the user's earlier events, a numpy array of int64.
    """

    item_idx: Tensor
    items: Tensor
    statistics: Tensor
    rating: Tensor
    user: Tensor
    liked: Tensor
    position: Ints

    @classmethod
    def of(cls, problem: Problem) -> Events:
        """Compute the inputs. As in the signals, no user's fold is in its item statistics."""
        known, train = problem.timelines, problem.train
        fold = assign_folds(known, problem.seed)
        item = statistics_without_folds(known, problem.ratings, len(problem.items), fold)
        item = item.take(fold, known.item_idx)
        running = RunningStatistics(known.position)
        user = user_features(running, known.liked, item.any_like)
        lift = problem.rating - item.rating
        recent = running.recent(lift, RECENT) / (np.minimum(user.events, RECENT) + USER_PRIOR)
        mean_lift = running.earlier(lift) / (user.events + USER_PRIOR)
        since = np.where(known.position > 0, np.diff(known.timestamp, prepend=0), 0)
        rates, counts = [logit(user.like_rate), logit(user.lately)], np.log1p([user.events, since])
        return cls(
            item_idx=torch.from_numpy(known.item_idx.astype(np.int64)),
            items=_float32(np.column_stack([genre_table(problem.items), item_vectors(problem)])),
            statistics=_standard([logit(item.like_rate), np.log1p(item.count), item.rating], train),
            rating=_standard([problem.rating, known.liked, lift], problem.ratings),
            user=_standard([*rates, recent, mean_lift, *counts], train),
            liked=_float32(known.liked),
            position=known.position.astype(np.int64),
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
    from scipy.sparse.linalg import svds

    users, user = np.unique(problem.timelines.user_id[problem.ratings], return_inverse=True)
    item = problem.timelines.item_idx[problem.ratings]
    shape = len(users), len(problem.items)
    components = min(COMPONENTS + 1, min(shape) - 1)
    if components < 2:
        return np.zeros((shape[1], 0))
    weight = 1 / np.sqrt(np.bincount(user)[user] * (np.bincount(item)[item] + ITEM_PRIOR))
    table = csc_array((weight, (user, item)), shape)
    _, values, vectors = svds(table, k=components, v0=np.ones(min(shape)))
    found = (vectors.T * values)[:, :-1]  # the largest component is the popularity
    return found / np.sqrt(4 * (found**2).mean(1, keepdims=True) + 1e-6)


def _standard(columns: list[npt.NDArray[Any]], rows: Ints) -> Tensor:
    """Return columns with mean 0 and standard deviation 1 over some rows."""
    table = np.column_stack(columns)
    spread = table[rows].std(0)
    return _float32((table - table[rows].mean(0)) / np.where(spread > 0, spread, 1))


def _float32(values: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


class SequenceNetwork(nn.Module):
    """Log-odds of a like, from one block of attention of candidates to events."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        statistics, user = events.statistics.shape[1], events.user.shape[1]
        self.item = nn.Linear(events.items.shape[1] + statistics, WIDTH)
        self.user, self.rating = nn.Linear(user, WIDTH), nn.Linear(3, 2 * WIDTH)
        self.candidate_norm, self.event_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, add_bias_kv=True, batch_first=True)
        wide = nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Dropout(DROPOUT)
        narrow = nn.Linear(2 * WIDTH, WIDTH), nn.Dropout(DROPOUT)
        self.feed_forward = nn.Sequential(nn.LayerNorm(WIDTH), *wide, *narrow)
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 1))
        self.linear = nn.Linear(statistics + user, 1)

    def forward(self, events: Events, first: Ints) -> tuple[Tensor, Tensor]:
        """Return log-odds and events of chunks' candidates, ``(n, CHUNK)``; -1 where is none."""
        start, before = first - events.position[first], min(HISTORY, events.position[first].max())
        place = first[:, None] + np.arange(-before, CHUNK)
        inside = np.clip(place, 0, len(events.position) - 1)
        mine = (place == inside) & (inside - events.position[inside] == start[:, None])
        index, own = torch.from_numpy(inside), torch.from_numpy(mine)
        target = index[:, before:]
        far = torch.arange(before, before + CHUNK)[:, None] - torch.arange(before + CHUNK)
        hidden = ~((far > 0) & (far <= HISTORY) & own[:, None])
        # Events fade with the logarithm of their distance, in each head at another rate.
        bias = -torch.linspace(0, 1, HEADS)[:, None, None] * torch.log1p(far.clamp(min=0))
        bias = bias.masked_fill(hidden[:, None], -1e9).flatten(0, 1)
        statistics, user = events.statistics[index], events.user[target]
        item = self.item(torch.cat([events.items[events.item_idx[index]], statistics], 2))
        shift, scale = self.rating(events.rating[index]).chunk(2, 2)
        seen = item * (1 + scale) + shift
        candidates = item[:, before:] + self.user(user)
        query, key = self.candidate_norm(candidates), self.event_norm(seen)
        found, _ = self.attention(query, key, seen, attn_mask=bias, need_weights=False)
        candidates = candidates + functional.dropout(found, DROPOUT, self.training)
        linear = self.linear(torch.cat([statistics[:, before:], user], 2))
        log_odds = self.out(candidates + self.feed_forward(candidates)) + linear
        return log_odds[..., 0], target.where(own[:, before:], -1)


def _train(events: Events, problem: Problem, rows: Ints) -> tuple[nn.Module, int]:
    """Return the averaged network of the best epoch, and the number of that epoch."""
    network = SequenceNetwork(events)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE)).eval()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.05)
    chunks = np.unique(events.chunk_of(rows))
    steps = EPOCHS * ceil(len(chunks) / BATCH)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    learned = torch.zeros(len(events.liked), dtype=torch.bool)
    learned[rows] = True
    random = stream(problem.seed, "batches of the sequence model")
    stop = _sample(problem.validation, MOST_VALIDATION_ROWS, problem.seed)
    best: tuple[float, int, nn.Module] = inf, 0, average
    for epoch in range(1, EPOCHS + 1):
        batches = _batches(events, random.permutation(chunks))
        for batch in random.permutation(len(batches)):
            loss = _loss(network, events, batches[batch], learned)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
        nats = mean_log_loss(problem.liked(stop), expit(log_odds_of(average, events, stop)))
        if nats < best[0]:
            best = nats, epoch, deepcopy(average)
        if epoch - best[1] >= PATIENCE:
            break
    return best[2], best[1]


def _loss(network: SequenceNetwork, events: Events, first: Ints, learned: Tensor) -> Tensor:
    """Return the log loss plus the RankNet loss of chunks, as ``training.loss.pairwise_loss``."""
    log_odds, target = network(events, first)
    row = (target >= 0) & learned[target]
    liked = events.liked[target]
    loss = functional.binary_cross_entropy_with_logits(log_odds[row], liked[row], reduction="sum")
    pair = (row & (liked == 1))[:, :, None] & (row & (liked == 0))[:, None, :]
    losses = functional.softplus(log_odds[:, None, :] - log_odds[:, :, None]) * pair
    of_chunk = losses.sum((1, 2)) / pair.sum((1, 2)).clamp(min=1) * row.sum(1)
    return (loss + of_chunk.sum()) / row.sum()


def _sample(events: Ints, limit: int, seed: int) -> Ints:
    return events[sample_rows(len(events), limit, seed, "sequence model")]


@torch.no_grad()
def log_odds_of(network: nn.Module, events: Events, event: Ints) -> Floats:
    """Return the log-odds of events, shape ``(n,)``."""
    log_odds = np.zeros(len(events.liked))
    for first in _batches(events, np.unique(events.chunk_of(event))):
        found, target = network(events, first)
        known = target >= 0
        log_odds[target[known].numpy()] = found[known].double().numpy()
    return log_odds[event]


def _batches(events: Events, chunks: Ints) -> list[Ints]:
    """Return batches of chunks with histories of similar length."""
    length = np.minimum(events.position[chunks], HISTORY) // 64
    chunks = chunks[np.argsort(length, kind="stable")]
    return [chunks[begin : begin + BATCH] for begin in range(0, len(chunks), BATCH)]
