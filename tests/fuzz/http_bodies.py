"""Requests to the HTTP service, damaged in body and headers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from reeltune.config.schema import ServingSection
from reeltune.serve.app import make_app
from tests.fuzz.campaign import Case, CleanError, Kind
from tests.fuzz.damage import ODD_VALUES, Damaged, damage_bytes, damage_json, pick
from tests.fuzz.predictions import ROUNDING, Oracle
from tests.fuzz.workplace import Workplace

LIMITS: dict[str, Any] = {"max_history": 8, "max_candidates": 40, "max_top": 12}
ERROR_KEYS = {"code", "message", "where", "hint"}


class RepeatedKeyError(Exception):
    """A JSON object names a key twice, so one of its values is lost."""


class HttpBodies(Kind):
    """A response must be an error in JSON, or the answer to the body as read with ``json``."""

    name: ClassVar[str] = "http"

    def __init__(self, workplace: Workplace) -> None:
        from starlette.testclient import TestClient  # warns when imported, of a later httpx

        super().__init__(workplace)
        self._oracle = Oracle(workplace)
        serving = ServingSection(port=0, max_body_bytes=20_000, **LIMITS)
        app = make_app(self._oracle.predictor, serving, None)
        self._client = TestClient(
            app, base_url="http://127.0.0.1", raise_server_exceptions=False
        ).__enter__()

    def close(self) -> None:
        self._client.__exit__(None, None, None)

    def make(self, random: Random, folder: Path) -> Case:
        path = random.choice(("/predictions", "/recommendations"))
        fields = self._fields(random, path)
        body = json.dumps(fields).encode()
        headers = {"Content-Type": "application/json"}
        neutral, way = False, random.choice(("bytes", "json", "json", "json", "structure"))
        if way == "bytes":
            description, body = damage_bytes(random, body)
        elif way == "json":
            description, changed = damage_json(random, fields)
            if random.random() < 0.2:
                more, changed = damage_json(random, changed)
                description += f"; {more}"
            body = json.dumps(changed).encode()
        else:
            description, body = self._structure(random, fields, headers)
            neutral = not description.startswith("!")
        (folder / "body").write_bytes(body)
        (folder / "request.json").write_text(json.dumps({"path": path, "headers": headers}))

        def run(_: list[str]) -> str | None:
            response = self._client.post(path, content=body, headers=headers)
            if response.status_code == 200:
                return self._fault(path, body, response.json())
            content = response.json()
            assert 400 <= response.status_code < 500, response.text[:300]
            assert content.keys() == ERROR_KEYS, content
            assert content["message"].isprintable(), content
            assert len(response.text) < 4_000, len(response.text)
            raise CleanError(
                f"{response.status_code} {content['code']}: {content['message'][:200]}"
            )

        return Case(f"{path}: {description}", run, neutral)

    def _fields(self, random: Random, path: str) -> dict[str, Any]:
        items = sorted(self._oracle.item_idx)
        rated = random.sample(items, random.randint(0, 6))
        history = [{"item_id": item, "rating": random.randint(1, 10) / 2} for item in rated]
        if path == "/predictions":
            wanted = random.sample(items, random.randint(1, 5))
            return {"history": history, "item_ids": wanted, "base": random.random() < 0.5}
        filters = {"genres": ["Drama"], "year_from": 1940, "year_to": 1995, "min_ratings": 1}
        fields = {"history": history, "top_k": random.randint(1, 10), "reasons": 1}
        fields |= {"candidates": 30, "base": False}
        if random.random() < 0.5:
            fields["filters"] = dict(random.sample(sorted(filters.items()), 2))
        return dict(random.sample(sorted(fields.items()), len(fields)))

    def _structure(
        self, random: Random, fields: dict[str, Any], headers: dict[str, str]
    ) -> Damaged[bytes]:
        """Write the body or the headers in another way; with ! if it may be refused."""
        text = json.dumps(fields)
        depth = random.choice((20, 200, 9_000))
        key = random.choice(sorted(fields))
        other = json.dumps(random.choice([value for value in ODD_VALUES if value is not None]))

        def with_header(name: str, value: str, body: bytes, sign: str = "!") -> Damaged[bytes]:
            headers[name] = value
            return f"{sign}{name}: {value[:60]}", body

        types = ("text/plain", "application/xml", "application/json; charset=utf-16", "json", "")
        types += ("application/json;charset=latin-1", "multipart/form-data", "application/JSON ")
        encodings = ("gzip", "deflate", "br", "identity", "x")
        return pick(
            random,
            (
                lambda: ("unchanged", text.encode()),
                lambda: ("indented", json.dumps(fields, indent=4).encode()),
                lambda: ("keys in another order", json.dumps(fields, sort_keys=True).encode()),
                lambda: ("!UTF-16", text.encode("utf-16")),
                lambda: ("!UTF-32", text.encode("utf-32-le")),
                lambda: ("!BOM", b"\xef\xbb\xbf" + text.encode()),
                lambda: ("!the body twice", (text + text).encode()),
                lambda: ("!in a list", f"[{text}]".encode()),
                lambda: ("!as a string", json.dumps(text).encode()),
                lambda: (f"!{key} twice", (text[:-1] + f', "{key}": {other}}}').encode()),
                lambda: (f"!{key} twice, first odd", f'{{"{key}": {other}, {text[1:]}'.encode()),
                lambda: (
                    "!item_id twice",
                    text.replace('"rating"', '"item_id": 1, "rating"', 1).encode(),
                ),
                lambda: ("!single quotes", text.replace('"', "'").encode()),
                lambda: ("!a trailing comma", (text[:-1] + ",}").encode()),
                lambda: ("!comments", ("// x\n" + text).encode()),
                lambda: (f"!{depth} lists", b"[" * depth + b"]" * depth),
                lambda: (
                    f"!{depth} lists in {key}",
                    (text[:-1] + f', "x": {"[" * depth}{"]" * depth}}}').encode(),
                ),
                lambda: (f"!{depth} open objects", b'{"history":' * (depth // 6)),
                lambda: ("!a long number", text.replace("1", "1" * 5_000, 1).encode()),
                lambda: ("!too long", text.encode() + b" " * 30_000),
                lambda: ("!a form", b"history=1&item_ids=2"),
                lambda: ("!nothing", b""),
                lambda: with_header("Content-Type", random.choice(types), text.encode()),
                lambda: with_header("Content-Encoding", random.choice(encodings), text.encode()),
                lambda: with_header("Content-Encoding", "gzip", gzip.compress(text.encode())),
                lambda: with_header(
                    "Content-Length", random.choice(("0", "5", "999999", "1" * 30)), text.encode()
                ),
                lambda: with_header(
                    "Host", random.choice(("example.org", "127.0.0.1.x", "")), text.encode()
                ),
                lambda: with_header("Origin", "http://example.org", text.encode()),
                lambda: with_header("Expect", "100-continue", text.encode()),
                lambda: with_header("X-HTTP-Method-Override", "DELETE", text.encode(), ""),
                lambda: with_header("Accept", "text/html", text.encode(), ""),
                lambda: with_header("Cookie", "x=" + "y" * 3_000, text.encode(), ""),
            ),
        )

    def _fault(self, path: str, body: bytes, answer: dict[str, Any]) -> str | None:
        """Return how an answer differs from the request in the body, if it does."""
        try:
            requested = json.loads(body, object_pairs_hook=_without_repeats)
        except RepeatedKeyError as error:
            return f"the key {error} is there twice"
        except ValueError:
            return "answered, although the body is not JSON"
        rated = [(each["item_id"], each["rating"]) for each in requested["history"]]
        oracle = self._oracle
        if path == "/predictions":
            if unknown := requested.keys() - {"history", "item_ids", "base"}:
                return f"fields without effect: {sorted(unknown)}"
            given = [each["item_id"] for each in answer["predictions"]]
            if given != requested["item_ids"] or not all(
                type(each) is int for each in requested["item_ids"]
            ):
                return f"answered for {given}, requested were {requested['item_ids']}"
            found = {each["item_id"]: each["p_like"] for each in answer["predictions"]}
        else:
            items = [each["item"] for each in answer["recommendations"]]
            found = {e["item"]["item_id"]: e["p_like"] for e in answer["recommendations"]}
            eligible = self._eligible(requested.get("filters", {}), {item for item, _ in rated})
            candidates = requested.get("candidates")
            top = min(requested.get("top_k", 10), len(eligible), candidates or len(eligible))
            if len(items) != top or not found.keys() <= eligible:
                return f"{sorted(found)} recommended, {top} of {sorted(eligible)} expected"
            if candidates is None or candidates >= len(eligible):
                best = sorted((oracle.p_yes(rated, item) for item in eligible), reverse=True)
                listed = list(found.values())
                if any(abs(a - b) > ROUNDING for a, b in zip(listed, best, strict=False)):
                    return f"P(like) of the recommended items is {listed}, the best {best[:top]}"
        for item, p_like in found.items():
            right = oracle.p_yes(rated, item)
            if abs(p_like - right) > ROUNDING:
                return f"P(like) of item {item} is {p_like}, right is {right}"
        return None

    def _eligible(self, filters: dict[str, Any], rated: set[int]) -> set[int]:
        folder = self._oracle.loaded.folder
        counts = [0] * len(folder.items)
        for index in folder.ratings.item_idx.tolist():
            counts[index] += 1
        found = set()
        for item, count in zip(folder.items, counts, strict=True):
            genres = {genre.casefold() for genre in item.genres}
            year = item.year if item.year is not None else float("nan")
            bounded = filters.get("year_from") is not None or filters.get("year_to") is not None
            low, high = filters.get("year_from") or 0, filters.get("year_to")
            matches = (
                not bounded or low <= year <= (high if high is not None else 10_000),
                not filters.get("genres") or genres & {g.casefold() for g in filters["genres"]},
                not genres & {g.casefold() for g in filters.get("without_genres", [])},
                count >= filters.get("min_ratings", 0),
                filters.get("max_ratings") is None or count <= filters["max_ratings"],
            )
            if all(matches):
                found.add(item.item_id)
        return found - rated


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise RepeatedKeyError(repeated[0])
    return dict(pairs)
