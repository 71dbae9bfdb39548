"""Errors of the network and the disk, with hints."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests import exceptions
from urllib3.exceptions import NameResolutionError, NewConnectionError

from reeltune.errors import FetchError


class UnreachableError(FetchError):
    """The server could not be reached: another source may have the same file."""


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an :class:`OSError` into a :class:`FetchError` that names the file or ``folder``."""
    try:
        yield
    except (FetchError, BrokenPipeError):  # the second: nobody reads standard output any more
        raise
    except OSError as error:
        raise FetchError(
            f"cannot be written ({error.strerror or error})",
            code="cannot_write",
            where=str(error.filename or folder),
            hint="Free some space, or choose another folder with --into",
        ) from error


def by_hand(url: str) -> str:
    """Return the hint to download ``url`` on another machine."""
    return f"Or download {url} by other means and give the file with --from PATH"


def connection_error(url: str, error: OSError | ValueError) -> FetchError:
    """Return the error for an exception of ``requests``; of an address, it is a ValueError."""
    if not isinstance(error, exceptions.ConnectionError | exceptions.Timeout):
        hint = "Check --base-url and the CA bundle"
        return FetchError(
            f"cannot be requested ({error})", code="invalid_url", where=url, hint=hint
        )
    code, message, hint = _connection_problem(error)
    host = urlsplit(url).hostname or url
    return UnreachableError(message, code=code, where=host, hint=f"{hint}. {by_hand(url)}")


def _connection_problem(error: OSError) -> tuple[str, str, str]:
    """Return code, message and hint."""
    if isinstance(error, exceptions.SSLError):
        reason = re.search(r"certificate verify failed: ([^(]+)", str(error))
        return (
            "tls_certificate_refused",
            f"the TLS certificate was not accepted ({reason[1].strip() if reason else error})",
            "GroupLens' certificate has lapsed three times since 2024 and was renewed after some "
            "days; try again later. A file from elsewhere is verified by its checksum",
        )
    if isinstance(error, exceptions.ProxyError):
        return "proxy_failed", "the proxy gave no connection", "Check HTTPS_PROXY"
    if isinstance(error, exceptions.Timeout):
        return "server_timeout", "no response in time", "Try again later"
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NameResolutionError):
        message = "the host name could not be resolved"
        return "host_not_found", message, "Is this machine offline?"
    cause = reason.__cause__ if isinstance(reason, NewConnectionError) else None
    if isinstance(cause, ConnectionRefusedError):
        hint = "Check the address, or try again later"
        return "connection_refused", "the connection was refused", hint
    return "connection_failed", f"no connection ({reason or error})", "Check the network"


def check_status(url: str, response: requests.Response) -> None:
    """Raise unless the server sent content.

    Raises:
        UnreachableError: Status 5xx.
        FetchError: Another status than 200.
    """
    status = f"{response.status_code} {response.reason}"
    if response.status_code >= 500:
        raise UnreachableError(
            f"the server failed ({status})",
            code="server_failed",
            where=url,
            hint=f"Try again later. {by_hand(url)}",
        )
    if response.status_code != 200:
        raise FetchError(
            f"the server does not give this file ({status})",
            code="file_not_on_server",
            where=url,
            hint=f"Check --base-url. {by_hand(response.url)}",
        )
