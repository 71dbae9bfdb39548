"""The page when the service refuses: what it says, and how one goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from reeltune.scoring.predictor import Predictor
from tests.browser import chromium
from tests.serve.page_visitor import Visitor
from tests.serve.running import TOKEN, Running, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def url(service: Running) -> str:
    return f"http://127.0.0.1:{service.port}"


@pytest.mark.slow
def test_the_message_of_the_service_is_shown(browser: Browser, url: str) -> None:
    visitor = Visitor(browser, url).begun()
    page = visitor.page
    refused = {
        "code": "any_code",
        "message": "too many <b>wait</b>",
        "where": "rated",
        "hint": "come again!",
    }
    page.route("**/recommendations", lambda route: route.fulfill(status=422, json=refused))
    visitor.give(0, 5.0)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.locator("p").all_text_contents() == [
        "Rated: too many <b>wait</b>.",
        "Come again!",
    ]
    assert "older than your last change" in (page.locator("#state").text_content() or "")
    page.unroute("**/recommendations")
    visitor.response_to(page.get_by_role("button", name="Try again").click)
    assert len(visitor.listed()) == 10
    assert alert.count() == 0
    visitor.context.close()


@pytest.mark.slow
def test_a_busy_service_is_asked_again_when_it_says_so(browser: Browser, url: str) -> None:
    visitor = Visitor(browser, url).begun()
    page = visitor.page
    refused = {"code": "any_code", "message": "busy", "where": None, "hint": None}
    headers = {"Retry-After": "1"}
    page.route(
        "**/recommendations",
        lambda route: route.fulfill(status=503, json=refused, headers=headers),
        times=1,
    )
    with page.expect_response(lambda answer: answer.status == 503):
        visitor.give(0, 5.0)
    visitor.response_to(page.get_by_role("alert").wait_for)
    assert len(visitor.listed()) == 10
    visitor.context.close()


@pytest.mark.slow
def test_a_token_is_asked_for_and_the_right_one_lets_in(
    browser: Browser, served_predictor: Predictor
) -> None:
    with running(served_predictor, TOKEN) as guarded:
        visitor = Visitor(browser, f"http://127.0.0.1:{guarded.port}")
        page = visitor.page
        field = page.get_by_label("Access token")
        page.locator("form[data-code=missing_token]").wait_for()
        assert page.locator(".frame h3").count() == 0
        field.fill("guessed-at-random")
        page.get_by_role("button", name="Use it").click()
        page.locator("form[data-code=wrong_token]").wait_for()
        assert page.locator(".frame h3").count() == 0
        field.fill(TOKEN)
        page.get_by_role("button", name="Use it").click()
        visitor.begun()
        visitor.give_three()
        assert len(visitor.listed()) == 10
        assert page.get_by_label("Access token").count() == 0
        visitor.context.close()
