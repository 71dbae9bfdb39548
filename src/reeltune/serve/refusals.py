"""Requests that are not answered: what is said instead, always as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from reeltune.errors import ReeltuneError, RequestError
from reeltune.serve import contract

RETRY_AFTER_S: Final = 2
"""When a client that was sent away may come again, in seconds."""

_MOST_NAMED: Final = 5
"""How many of the bad fields one answer names."""

_LONGEST_NAME: Final = 100
"""How many characters of a field that somebody made up are named."""

_HINTS: Final = {
    HTTPStatus.NOT_FOUND: "/docs lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: "/docs lists what there is",
}


class UnavailableError(ReeltuneError):
    """A request that could be answered at another time."""


class Refused(Response):
    """A refusal as JSON.

    Args:
        status: The HTTP status.
        error: What is wrong.
        hint: What can be done about it.
        headers: More headers.
    """

    media_type = "application/json"

    def __init__(
        self,
        status: int,
        error: str,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(json.dumps({"error": error, "hint": hint}), status, headers)


def refusals(*statuses: int, model: bool = True) -> dict[int | str, dict[str, Any]]:
    """Return what an OpenAPI description says of the requests a route refuses.

    Args:
        statuses: The HTTP statuses.
        model: Let FastAPI describe the JSON. It takes refusals to be of the same media type as
            answers; a route that answers with something else must point to the description.
    """
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    form = {"model": contract.Refusal} if model else {"content": content}
    return {status: {**form, "description": HTTPStatus(status).phrase} for status in statuses}


def add_refusals(app: FastAPI) -> None:
    """Let every error of an application be told as :class:`Refused`."""
    app.add_exception_handler(RequestValidationError, _bad_fields)
    app.add_exception_handler(RequestError, _bad_request)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


def unavailable(error: str, hint: str | None = None) -> Refused:
    """Return the refusal of a request that may come again."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, error, hint, headers)


def _bad_fields(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    sentences = bad_fields(error.errors())
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, sentences)


def bad_fields(found: Sequence[Any]) -> str:
    """Return what is wrong with fields, each with its place, as ``rated.0.stars: ...``."""
    named = [_sentence(item) for item in found[:_MOST_NAMED]]
    more = len(found) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])


def _sentence(item: Any) -> str:
    place = item["loc"]
    if item["type"] == "json_invalid":
        return f"the body is not JSON from its character {place[-1]} on"
    # Without the name of the part of the request it is in.
    inside = place[1:] if len(place) > 1 else place
    return f"{'.'.join(str(part)[:_LONGEST_NAME] for part in inside)}: {item['msg']}"


def _bad_request(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestError)
    what = f"{error.where}: {error.message}" if error.where else error.message
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, what, error.hint)


def _unavailable(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, UnavailableError)
    return unavailable(error.message, error.hint)


def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    unreadable = status == HTTPStatus.BAD_REQUEST
    what = "the body cannot be read as JSON" if unreadable else status.phrase.lower()
    return Refused(status, what, _HINTS.get(status), error.headers)


def _unforeseen(request: Request, error: Exception) -> Response:
    del request, error
    return Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal error",
        "The log of the service says more",
        # uvicorn closes the connection once it has logged what was raised, with its traceback.
        {"Connection": "close"},
    )
