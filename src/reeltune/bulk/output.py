"""The output folder: shards, ``manifest.json`` written before them, ``done.json`` after them."""

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
from reeltune.bulk.tasks import P_YES
from reeltune.errors import RunError, one_line
from reeltune.files import (
    atomic_file,
    is_temporary,
    read_object,
    remove_leftovers,
    write_json,
)
from reeltune.locks import LOCK_FILE, exclusive
from reeltune.runs.log import LOGGER

MANIFEST_FILE: Final = "manifest.json"
DONE_FILE: Final = "done.json"

IDENTITY_DIGEST: Final = "identity_sha256"
"""Key of the identity's digest in both files and in the metadata of shards."""

_SHARD_NAME = re.compile(r"part-\d{5,}\.parquet")
_METADATA_KEY: Final = b"reeltune"
_ATTEMPTS: Final = ".attempts"


@dataclass(frozen=True)
class Shard:
    """The metadata of a shard: how many input rows it covers, how many rows have a P(Yes).

    ``short_histories`` counts predictions from histories shorter than all in training.
    """

    identity_sha256: str
    number: int
    input_rows: int
    scored: int
    rows: int
    short_histories: int = 0


@dataclass(frozen=True)
class Output:
    """A folder of predictions."""

    path: Path

    def shard_path(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.path / f"part-{number:05}.parquet"

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest; None if the folder is new or empty.

        Raises:
            RunError: It is not a folder, or holds something else.
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
        if foreign := [name for name in names if name != LOCK_FILE and not is_temporary(name)]:
            raise RunError(
                f"is not empty and holds no predictions ({', '.join(foreign[:3])})",
                code="output_not_empty",
                where=str(self.path),
                hint="Choose another folder",
            )
        return None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Create the folder, keep other runs out of it, and remove leftovers of killed ones.

        Raises:
            RunError: Another run is writing there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path):
            remove_leftovers(self.path)
            for path in self.path.glob(f"part-*{_ATTEMPTS}"):
                path.unlink()
            yield

    def check_identity(self, manifest: dict[str, Any], identity: dict[str, Any]) -> None:
        """Check that a manifest has the given identity.

        Raises:
            RunError: It has another one; the message names the differences.
        """
        if changed := differences(manifest["identity"], identity):
            raise RunError(
                f"holds predictions of other inputs or settings ({'; '.join(changed)})",
                code="output_of_other_inputs",
                where=str(self.path),
                hint="Repeat the earlier call to resume it, choose another folder, or start again "
                "with --overwrite",
            )

    def start(self, identity: dict[str, Any], facts: dict[str, Any]) -> None:
        """Remove earlier predictions and write the manifest; ``facts`` are further entries."""
        self.remove_record()
        for path in self.shard_files():
            path.unlink()
        content = {
            "reeltune_version": __version__,
            "started": _now(),
            **facts,
            IDENTITY_DIGEST: digest(identity),
            "identity": identity,
        }
        write_json(self.path / MANIFEST_FILE, content)

    def remove_record(self) -> None:
        """Remove ``done.json``."""
        (self.path / DONE_FILE).unlink(missing_ok=True)

    def write(
        self, number: int, table: pa.Table, sha256: str, input_rows: int, short_histories: int = 0
    ) -> None:
        """Write a shard, completely or not at all."""
        about = {
            IDENTITY_DIGEST: sha256,
            "number": number,
            "input_rows": input_rows,
            "scored": table.num_rows - table[P_YES].null_count,
            "short_histories": short_histories,
        }
        table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(about)})
        with atomic_file(self.shard_path(number)) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
        self.shard_path(number).with_suffix(_ATTEMPTS).unlink(missing_ok=True)

    def count_attempt(self, number: int) -> None:
        """Count an attempt at a shard; raise a RunError if four ended with their process."""
        with self.shard_path(number).with_suffix(_ATTEMPTS).open("ab") as file:
            file.write(b".")
            if file.tell() <= 4:  # a process or node can be lost for other reasons than its shard
                return
        raise RunError(
            "four processes died while they scored this shard",
            code="shard_crashes",
            where=str(self.shard_path(number)),
            hint="Call it again to resume; if memory ran out, lower scoring.tokens_per_batch",
        )

    def complete_shards(self, spans: Sequence[range], sha256: str) -> dict[int, Shard]:
        """Return the complete shards of an identity, by number.

        Raises:
            RunError: The folder holds a shard that is none of those with the input rows ``spans``.
        """
        expected = {self.shard_path(number): number for number in range(len(spans))}
        complete: dict[int, Shard] = {}
        for path in self.shard_files():
            number = expected.get(path)
            if number is None:
                raise RunError(
                    f"holds {path.name}, which does not belong to these predictions",
                    code="unexpected_shard",
                    where=str(self.path),
                    hint="Move it away",
                )
            shard = _read_shard(path)
            wanted = (sha256, number, len(spans[number]))
            if shard and (shard.identity_sha256, shard.number, shard.input_rows) == wanted:
                complete[number] = shard
        return complete

    def finish(self, shards: Collection[Shard], sha256: str) -> dict[str, Any]:
        """Write ``done.json`` and return its content."""
        record = {IDENTITY_DIGEST: sha256, **_totals(shards), "finished": _now()}
        write_json(self.path / DONE_FILE, record)
        return record

    def done(self, shards: Collection[Shard], sha256: str) -> dict[str, Any] | None:
        """Return the content of ``done.json`` if it is about these shards, else None."""
        file = self.path / DONE_FILE
        if not file.is_file():
            return None
        try:
            record = read_object(file)
        except ValueError:
            return None
        expected = {IDENTITY_DIGEST: sha256, **_totals(shards)}
        has_all = expected.items() <= record.items()
        return record if has_all and isinstance(record.get("finished"), str) else None

    def shard_files(self) -> list[Path]:
        """Return the files of all shards, in order."""
        names = self.path.glob("part-*.parquet")
        return sorted(path for path in names if _SHARD_NAME.fullmatch(path.name))


def _totals(shards: Collection[Shard]) -> dict[str, int]:
    rows, scored = sum(shard.rows for shard in shards), sum(shard.scored for shard in shards)
    return {
        "shards": len(shards),
        "input_rows": sum(shard.input_rows for shard in shards),
        "rows": rows,
        "scored": scored,
        "without_p_yes": rows - scored,
        "short_histories": sum(shard.short_histories for shard in shards),
    }


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        manifest = read_object(file)
    except ValueError:
        manifest = {}
    if not isinstance(manifest.get("identity"), dict):
        raise RunError(
            "was not written by reeltune score",
            code="invalid_manifest",
            where=str(file),
            hint="Choose another folder",
        )
    return manifest


def _read_shard(path: Path) -> Shard | None:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            about = json.loads((file.metadata.metadata or {})[_METADATA_KEY])
            rows = sum(batch.num_rows for batch in file.iter_batches())
        return Shard(**about, rows=rows)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, RecursionError) as error:
        LOGGER.warning("damaged, so scored again: %s (%s)", path, one_line(error))
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
