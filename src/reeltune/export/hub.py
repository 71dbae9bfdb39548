"""Upload a merged model to the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import disable_progress_bars, validate_repo_id

from reeltune import __version__
from reeltune.errors import FetchError, RunError, first_line
from reeltune.export.provenance import EXPORT_FILE
from reeltune.files import file_digest, read_object
from reeltune.models.prompt_record import PROMPT_FILE
from reeltune.progress import BYTES, show_progress
from reeltune.runs.folder import ADAPTER_WEIGHTS, CARD_FILE
from reeltune.training.card_metadata import hub_id

_MAX_MESSAGE: Final = 300


@dataclass(frozen=True)
class HubTarget:
    """Where to upload to: repository, branch (None for the main one), and if it must be private."""

    repo_id: str
    private: bool = False
    revision: str | None = None

    def __str__(self) -> str:
        branch = f", branch {self.revision}" if self.revision else ""
        return f"{self.repo_id}{' (private)' if self.private else ''}{branch}"


@dataclass(frozen=True)
class Upload:
    """One file to upload: from the folder, or content that replaces that of the folder's file."""

    name: str
    size: int
    source: Path | bytes


def check_access(target: HubTarget) -> str:
    """Return the user's name on the hub, after checking the repository's name and the token.

    Raises:
        FetchError: The name or the token is invalid, or the hub cannot be reached.
    """
    with _hub_errors(target.repo_id):
        validate_repo_id(target.repo_id)
        return HfApi().whoami()["name"]


def exported_before(folder: Path, adapter: Path, dtype: str, onto: str) -> bool:
    """Return whether a folder is an export of this adapter with these settings."""
    if not (folder / EXPORT_FILE).is_file() or not (adapter / ADAPTER_WEIGHTS).is_file():
        return False
    record = read_object(folder / EXPORT_FILE)
    made = (record["adapter"]["sha256"], record["dtype"], record["onto"])
    return made == (file_digest(adapter / ADAPTER_WEIGHTS), dtype, onto)


def files_to_upload(folder: Path) -> list[Upload]:
    """Return the files that the export wrote, and no others; paths of this machine are removed.

    Raises:
        RunError: A file is missing, outside the folder, or not as recorded.
    """
    record, prompt = (read_object(folder / name) for name in (EXPORT_FILE, PROMPT_FILE))
    for name, written in record["files"].items():
        file = folder / name
        inside = Path(name).name == name and file.is_file()
        if not inside or file_digest(file) != written["sha256"]:
            raise RunError(
                "missing or changed since the export",
                code="export_incomplete",
                where=str(file),
                hint="Export again with --overwrite",
            )
    base = record["base"]["name_or_path"]
    record["base"]["name_or_path"] = prompt["base_model"] = hub_id(base) or Path(base).name
    record["adapter"]["folder"] = Path(record["adapter"]["folder"]).name
    content = {PROMPT_FILE: _encode(prompt)}
    record["files"][PROMPT_FILE] = {
        "sha256": sha256(content[PROMPT_FILE]).hexdigest(),
        "bytes": len(content[PROMPT_FILE]),
    }
    content[EXPORT_FILE] = _encode(record)
    uploads = []
    for name in sorted({*record["files"], EXPORT_FILE, CARD_FILE}):
        source = content.get(name, folder / name)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        uploads.append(Upload(name, size, source))
    return uploads


def push(folder: Path, target: HubTarget, notify: Callable[[str], None]) -> None:
    """List the files of an export, upload them in one commit, and give its address.

    Repository and branch are created if they do not exist.

    Raises:
        RunError: A file of the export is missing or changed.
        FetchError: The hub refuses or cannot be reached, or the repository is public though it
            must be private.
    """
    uploads = files_to_upload(folder)
    notify(f"uploading to {target}:")
    for each in uploads:
        notify(f"  {each.name}  {each.size:,} bytes")
    lines = not sys.stderr.isatty()  # on a terminal, the hub's library shows bars
    if lines:
        disable_progress_bars()
    with show_progress(BYTES, shown=lines) as start:
        task = start("uploading", sum(each.size for each in uploads))
        address = _upload(target, uploads)
        task.update(task.total or 0)
    notify(f"uploaded: {address}")


def _upload(target: HubTarget, uploads: list[Upload]) -> str:
    api = HfApi()
    with _hub_errors(target.repo_id):
        created = api.create_repo(target.repo_id, private=target.private or None, exist_ok=True)
        repo_id = created.repo_id
        if target.private and not api.model_info(repo_id).private:
            raise FetchError(
                "the repository is public, nothing was uploaded",
                code="repository_is_public",
                where=repo_id,
                hint="Make it private on its settings page, or omit --private",
            )
        if target.revision is not None:
            api.create_branch(repo_id, branch=target.revision, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(each.name, each.source) for each in uploads],
            commit_message=f"Upload merged weights by reeltune {__version__}",
            revision=target.revision,
        )
    return commit.commit_url


@contextlib.contextmanager
def _hub_errors(repo_id: str) -> Iterator[None]:
    """Turn exceptions of huggingface_hub into :class:`FetchError`."""
    try:
        yield
    except (HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled) as error:
        raise _before_request(repo_id, error) from error
    except RuntimeError as error:  # raised from the error of a large file's upload
        raise _request_failed(repo_id, error.__cause__ or error) from error
    except (httpx.HTTPError, ValueError) as error:
        raise _request_failed(repo_id, error) from error


def _before_request(repo_id: str, error: Exception) -> FetchError:
    if isinstance(error, HFValidationError):
        return FetchError(
            "is not a valid name of a repository",
            code="invalid_repository_name",
            where=repo_id,
            hint="Use USER/NAME or NAME, with letters, digits, '-', '_' and '.'",
        )
    if isinstance(error, OfflineModeIsEnabled):
        return FetchError(
            "the hub cannot be used in offline mode",
            code="hub_offline_mode",
            where="HF_HUB_OFFLINE",
            hint="Unset it to upload",
        )
    return FetchError(
        "there is no access token for the hub",
        code="hub_token_missing",
        hint="Run: hf auth login. Or set HF_TOKEN to a token with write access",
    )


def _request_failed(repo_id: str, error: BaseException) -> FetchError:
    response = error.response if isinstance(error, httpx.HTTPStatusError | HfHubHTTPError) else None
    if response is None:
        if isinstance(error, httpx.TransportError):
            return FetchError(
                f"the hub cannot be reached ({first_line(error)})",
                code="hub_unreachable",
                where=str(HfApi().endpoint),
                hint="Check the network and HF_ENDPOINT; the same command uploads the export later",
            )
        return _hub_failed(repo_id, first_line(error))
    status = response.status_code
    if status == 401:
        return FetchError(
            "the hub does not accept the access token (401)",
            code="hub_token_refused",
            hint="Run: hf auth login, or correct HF_TOKEN; see https://huggingface.co/settings/tokens",
        )
    if status == 403:
        return FetchError(
            "the access token may not write to this repository (403)",
            code="hub_write_refused",
            where=repo_id,
            hint="Use a token with write access to its owner, or another repository",
        )
    if status == 404:
        return FetchError(
            "the hub has no such repository or branch (404)",
            code="hub_repository_not_found",
            where=repo_id,
            hint="Check owner, name and --revision",
        )
    message = response.headers.get("X-Error-Message") or first_line(error)
    return _hub_failed(repo_id, f"{status}: {message}")


def _hub_failed(repo_id: str, message: str) -> FetchError:
    return FetchError(
        f"the upload failed ({message[:_MAX_MESSAGE]})",
        code="hub_upload_failed",
        where=repo_id,
        hint="The same command uploads the export again",
    )


def _encode(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
