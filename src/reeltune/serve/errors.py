"""Error responses: every request that fails gets the same JSON, :class:`ErrorResponse`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from reeltune.errors import ReeltuneError, RequestError, printable
from reeltune.serve.schemas import ErrorResponse

RETRY_AFTER_S: Final = 2
"""When a client may retry after a 503, in seconds."""

_MAX_FIELDS: Final = 5
"""How many invalid fields one response names."""

_MAX_NAME_LENGTH: Final = 100
"""How many characters of a field name are repeated."""


class UnavailableError(ReeltuneError):
    """The service cannot answer now; the client may retry later."""


def error_response(
    status: int,
    code: str,
    message: str,
    *,
    where: str | None = None,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as JSON, with the fields of :class:`reeltune.errors.ReeltuneError`."""
    # Written as ASCII: a field name may hold half a surrogate pair, which UTF-8 cannot encode.
    body = json.dumps({"code": code, "message": message, "where": where, "hint": hint})
    return Response(body, status, headers, media_type="application/json")


def response_of(error: RequestError | UnavailableError) -> Response:
    """Return the response to an error: 422, or a 503 that says when to retry."""
    status, headers = HTTPStatus.UNPROCESSABLE_ENTITY, None
    if isinstance(error, UnavailableError):
        status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)}
    return error_response(
        status, error.code, error.message, where=error.where, hint=error.hint, headers=headers
    )


def shutting_down() -> UnavailableError:
    """Return the error of requests that get no other response before the service ends."""
    return UnavailableError(
        "the service is shutting down", code="shutting_down", hint="Try again in a moment"
    )


def error_responses(*statuses: int, model: bool = True) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a route's error responses.

    FastAPI would give a ``model`` the media type of the route's responses: it is for JSON only.
    """
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    schema = {"model": ErrorResponse} if model else {"content": content}
    return {status: {**schema, "description": HTTPStatus(status).phrase} for status in statuses}


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception of an application with :func:`error_response`."""
    app.add_exception_handler(RequestValidationError, _validation_error)
    for kind in (RequestError, UnavailableError):
        app.add_exception_handler(kind, lambda _, error: response_of(cast("RequestError", error)))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)


def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors: Sequence[Any] = error.errors()
    first = errors[0]
    if first["type"] == "json_invalid":
        return error_response(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_json",
            "the body is not JSON",
            where=f"body, character {first['loc'][-1]}",
        )
    texts = [item["msg"].removeprefix("Value error, ") for item in errors[:_MAX_FIELDS]]
    others = [f"{_field(item)}: {text}" for item, text in zip(errors, texts, strict=False)][1:]
    more = len(errors) - _MAX_FIELDS
    message = "; ".join([texts[0], *others, *([f"and {more} more"] if more > 0 else [])])
    return error_response(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_field", printable(message), where=_field(first)
    )


def _field(item: Any) -> str:
    """Return a field's place in body or query string, such as ``history.0.rating``."""
    location = item["loc"]
    inside = location[1:] if len(location) > 1 else location
    return ".".join(str(part)[:_MAX_NAME_LENGTH] for part in inside)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:
        return error_response(status, "unreadable_body", "the body cannot be read as JSON")
    code, message = status.name.lower(), status.phrase.lower()
    hint = "GET /docs lists all requests"
    return error_response(status, code, message, hint=hint, headers=error.headers)


def _internal_error(_: Request, error: Exception) -> Response:
    del error  # uvicorn logs it with its traceback, then closes the connection
    return error_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "internal error",
        hint="The log of the service has the details",
        headers={"Connection": "close"},
    )
