"""What goes wrong between here and a server, put into words the user can act on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reeltune.errors import FetchError

if TYPE_CHECKING:
    import requests

_SERVER_ERROR: Final = 500
_NOT_FOUND: Final = 404


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a :class:`FetchError` that names the place."""
    try:
        yield
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"cannot be written ({error.strerror or error})",
            where=str(error.filename or folder),
            hint="Free some space, or choose another folder with --into",
        ) from error


class UnreachableError(FetchError):
    """The server could not be talked to: another source may still have the same file."""


def other_means(url: str) -> str:
    """Say what to do when this machine cannot download ``url`` itself."""
    return f"Or download {url} by other means and give the file with --from PATH"


def explain(url: str, error: OSError) -> FetchError:
    """Turn what ``requests`` raised for ``url`` into one clear error.

    Connection failures become :class:`UnreachableError`; an unusable address a plain one.
    """
    import requests

    host = urlsplit(url).hostname or url
    if isinstance(error, requests.exceptions.SSLError):
        return UnreachableError(
            f"the TLS certificate of {host} was not accepted ({_tls_reason(error)})",
            hint=(
                "GroupLens' certificate has lapsed three times since 2024 and was renewed after "
                f"some days; try again later. {other_means(url)}: its checksum is verified "
                "all the same"
            ),
        )
    if isinstance(error, requests.exceptions.ProxyError):
        what, hint = f"the proxy did not let us through to {host}", "Check HTTPS_PROXY. "
    elif isinstance(error, requests.exceptions.Timeout):
        what, hint = f"{host} did not answer in time", "Try again later. "
    elif isinstance(error, requests.exceptions.ConnectionError):
        what, hint = _connection_words(host, error)
    else:
        return FetchError(
            f"{url} cannot be requested ({error})", hint="Check --base-url and the CA bundle"
        )
    return UnreachableError(what, hint=hint + other_means(url))


def check_status(url: str, response: requests.Response) -> None:
    """Raise unless the server answered with content.

    Raises:
        UnreachableError: The server itself is in trouble (5xx).
        FetchError: The server has no such file, or does not give it to us.
    """
    status = response.status_code
    if status < 400:
        return
    said = f"{status} {response.reason}"
    if status >= _SERVER_ERROR:
        raise UnreachableError(
            f"the server has a problem of its own ({said})",
            where=url,
            hint=f"Try again later. {other_means(url)}",
        )
    what = "no such file on the server" if status == _NOT_FOUND else "the server refused"
    raise FetchError(
        f"{what} ({said})", where=url, hint=f"Check --base-url. {other_means(response.url)}"
    )


def _connection_words(host: str, error: OSError) -> tuple[str, str]:
    from urllib3.exceptions import NameResolutionError, NewConnectionError

    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NameResolutionError):
        return f"the name {host} could not be resolved", "Is this machine offline? "
    if isinstance(reason, NewConnectionError) and isinstance(
        reason.__cause__, ConnectionRefusedError
    ):
        return f"{host} refused the connection", "Check the address, or try again later. "
    return f"no connection to {host} ({reason or error})", "Check the network. "


def _tls_reason(error: OSError) -> str:
    found = re.search(r"certificate verify failed: ([^(]+)", str(error))
    return found.group(1).strip() if found else str(error)
