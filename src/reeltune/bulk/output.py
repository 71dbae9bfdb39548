"""The folder of answers: shards, the manifest that says what of, and the record that ends it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from reeltune import __version__
from reeltune.bulk.identity import differences, digest
from reeltune.bulk.task import P_YES
from reeltune.errors import RunError
from reeltune.files import (
    LOCK_FILE,
    atomic_file,
    exclusive_folder,
    is_temporary,
    remove_leftovers,
    write_json,
)

MANIFEST_FILE: Final = "manifest.json"
DONE_FILE: Final = "done.json"

IDENTITY_DIGEST: Final = "identity_sha256"
"""The key, in both, of the digest of what determines the answers."""

_PART = re.compile(r"part-\d{5,}\.parquet")
_ABOUT: Final = b"reeltune"
"""The key, in a shard's parquet metadata, of what the shard says of itself."""


@dataclass(frozen=True)
class Shard:
    """What a shard says of itself.

    Attributes:
        answers: The digest of what determined its answers.
        number: Which shard it is.
        input_rows: How many input rows it covers.
        scored: How many of its rows have a P(Yes).
        rows: How many rows it has.
    """

    answers: str
    number: int
    input_rows: int
    scored: int
    rows: int


@dataclass(frozen=True)
class Output:
    """A folder of answers.

    Attributes:
        path: Where it lies.
    """

    path: Path

    def part(self, number: int) -> Path:
        """Return where a shard lies."""
        return self.path / f"part-{number:05}.parquet"

    def manifest(self) -> dict[str, Any] | None:
        """Return what the folder holds the answers of; None where it holds nothing yet.

        Raises:
            RunError: It is no folder, or holds something else.
        """
        if not self.path.exists():
            return None
        if not self.path.is_dir():
            raise RunError(
                "is a file, not a folder",
                code="output_not_a_folder",
                where=str(self.path),
                hint="Choose another folder",
            )
        file = self.path / MANIFEST_FILE
        if file.is_file():
            return _read_manifest(file)
        names = sorted(path.name for path in self.path.iterdir())
        foreign = [name for name in names if name != LOCK_FILE and not is_temporary(name)]
        if foreign:
            raise RunError(
                f"is not empty and holds no answers ({', '.join(foreign[:3])})",
                code="output_not_empty",
                where=str(self.path),
                hint="Choose another folder",
            )
        return None

    @property
    def unanswered(self) -> bool:
        """Whether there is no answer yet."""
        return not self.path.is_dir() or not self._parts()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder, keep other runs out of it, and clear up after those that were killed.

        Raises:
            RunError: Another run is writing there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with exclusive_folder(self.path):
            remove_leftovers(self.path)
            yield

    def refuse_other(self, told: dict[str, Any], identity: dict[str, Any]) -> None:
        """Refuse to go on with answers that something else has determined.

        Args:
            told: The manifest.
            identity: What determines the answers now.

        Raises:
            RunError: Naming what differs.
        """
        if changed := differences(told["identity"], identity):
            raise RunError(
                f"holds answers of something else ({'; '.join(changed)})",
                code="output_of_other_inputs",
                where=str(self.path),
                hint="Call it as before to go on, choose another folder, or start anew with "
                "--overwrite",
            )

    def begin(self, identity: dict[str, Any], facts: dict[str, Any]) -> None:
        """Remove earlier answers and write the manifest.

        Args:
            identity: What determines the answers.
            facts: What else is worth knowing.
        """
        self.reopen()
        for path in self._parts():
            path.unlink()
        about = {"reeltune_version": __version__, "started": _now(), **facts}
        sha256 = digest(identity)
        content = {**about, IDENTITY_DIGEST: sha256, "identity": identity}
        write_json(self.path / MANIFEST_FILE, content)

    def reopen(self) -> None:
        """Take back the record that every shard is there."""
        (self.path / DONE_FILE).unlink(missing_ok=True)

    def write(self, number: int, table: pa.Table, answers: str, input_rows: int) -> None:
        """Write a shard, whole or not at all."""
        scored = table.num_rows - table[P_YES].null_count
        about = {"answers": answers, "number": number, "input_rows": input_rows, "scored": scored}
        table = table.replace_schema_metadata({_ABOUT: json.dumps(about)})
        with atomic_file(self.part(number)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def present(self, spans: Sequence[range], answers: str) -> dict[int, Shard]:
        """Return the shards that are there and whole, by number.

        Args:
            spans: The input rows of every shard.
            answers: The digest of what determines the answers.

        Raises:
            RunError: The folder holds a shard that no run with this manifest has written.
        """
        expected = {self.part(number): number for number in range(len(spans))}
        found: dict[int, Shard] = {}
        for path in self._parts():
            number = expected.get(path)
            if number is None:
                raise RunError(
                    f"holds {path.name}, which does not belong to these answers",
                    code="unexpected_shard",
                    where=str(self.path),
                    hint="Move it away",
                )
            shard = _read_shard(path)
            wanted = (answers, number, len(spans[number]))
            if shard and (shard.answers, shard.number, shard.input_rows) == wanted:
                found[number] = shard
        return found

    def finish(self, shards: Collection[Shard], answers: str) -> dict[str, Any]:
        """Write the record that every shard is there, and return it."""
        record = {IDENTITY_DIGEST: answers, **_totals(shards), "finished": _now()}
        write_json(self.path / DONE_FILE, record)
        return record

    def done(self, shards: Collection[Shard], answers: str) -> dict[str, Any] | None:
        """Return the record that every shard is there, if it speaks of these shards."""
        file = self.path / DONE_FILE
        if not file.is_file():
            return None
        record = json.loads(file.read_text(encoding="utf-8"))
        expected = {IDENTITY_DIGEST: answers, **_totals(shards)}
        return record if expected.items() <= record.items() else None

    def _parts(self) -> list[Path]:
        return sorted(path for path in self.path.iterdir() if _PART.fullmatch(path.name))


def _totals(shards: Collection[Shard]) -> dict[str, int]:
    rows, scored = sum(one.rows for one in shards), sum(one.scored for one in shards)
    return {
        "shards": len(shards),
        "input_rows": sum(one.input_rows for one in shards),
        "rows": rows,
        "scored": scored,
        "without_p_yes": rows - scored,
    }


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("identity"), dict):
        raise RunError(
            "is not the manifest of answers",
            code="invalid_manifest",
            where=str(file),
            hint="Choose another folder",
        )
    return told


def _read_shard(path: Path) -> Shard | None:
    """Return what a shard says of itself; None where it is none, or not whole."""
    try:
        metadata = pq.read_metadata(path)
        about = json.loads((metadata.metadata or {})[_ABOUT])
        return Shard(**about, rows=metadata.num_rows)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError, TypeError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
