"""The page as it is shown: it fits a phone, its texts can be read, its controls have names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.browser import chromium
from tests.serve.page_measures import Contrast, contrasts, controls, overflow
from tests.serve.page_visitor import Scheme, Visitor
from tests.serve.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DESKTOP = (1280, 900)
PHONE = (360, 780)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

LEAST_CONTRAST = 4.5
"""What WCAG 2.2 asks of text at level AA."""

_GROUND = "getComputedStyle(document.documentElement).backgroundColor"


@dataclass(frozen=True)
class Seen:
    """What was measured of the page in one of its states.

    Attributes:
        state: Which.
        wider: By how many CSS pixels it is wider than a phone.
        contrasts: Of every text, in each scheme.
        grounds: The colour behind everything, in each scheme.
        controls: Roles and names.
    """

    state: str
    wider: int
    contrasts: dict[Scheme, list[Contrast]]
    grounds: dict[Scheme, str]
    controls: list[tuple[str, str]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def url(service: Running) -> str:
    return f"http://127.0.0.1:{service.port}"


def begin(visitor: Visitor) -> None:
    """Come to the page for the first time."""
    visitor.begun()


def show_list(visitor: Visitor) -> None:
    """Bring up the list, two models, reasons, filters, and a rating that can be undone."""
    page = visitor.page
    visitor.give_three()
    visitor.compare()
    visitor.open_reasons()
    visitor.response_to(page.locator("#rated .remove").first.click)
    page.locator("#filters summary").click()
    page.locator(".card .seen").nth(1).click()


def show_found(visitor: Visitor) -> None:
    """Open the list of films found, one of them chosen."""
    page = visitor.page
    page.locator("#query").fill("the")
    page.locator("#found [role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")


def show_trouble(visitor: Visitor) -> None:
    """Let the service refuse."""
    page = visitor.page
    refused = {"code": "any_code", "message": "busy", "where": "rated", "hint": "come again"}
    page.route("**/recommendations", lambda route: route.fulfill(status=503, json=refused))
    page.locator("#base").click()
    page.get_by_role("alert").wait_for()


STATES: tuple[Callable[[Visitor], None], ...] = (begin, show_list, show_found, show_trouble)


@pytest.fixture(scope="module")
def walk(browser: Browser, url: str) -> list[Seen]:
    """The page in all its states, measured once."""
    visitor = Visitor(browser, url)
    page = visitor.page
    found = []
    for show in STATES:
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        show(visitor)
        measured: dict[Scheme, list[Contrast]] = {}
        grounds: dict[Scheme, str] = {}
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            measured[scheme] = contrasts(page)
            grounds[scheme] = page.evaluate(_GROUND)
        named = controls(page)
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        found.append(Seen(show.__name__, overflow(page), measured, grounds, named))
    visitor.context.close()
    return found


@pytest.mark.slow
def test_a_phone_need_not_scroll_sideways(walk: list[Seen]) -> None:
    assert {seen.state: seen.wider for seen in walk} == {show.__name__: 0 for show in STATES}


@pytest.mark.slow
def test_one_very_long_word_does_not_widen_the_page(browser: Browser, url: str) -> None:
    visitor = Visitor(browser, url, width=PHONE[0], height=PHONE[1], title="W" * 300)
    for show in (begin, show_list, show_found):
        show(visitor)
        assert overflow(visitor.page) == 0, show.__name__
    visitor.context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_stand_out_from_their_ground(walk: list[Seen], scheme: Scheme) -> None:
    for seen in walk:
        assert len(seen.contrasts[scheme]) >= (25 if seen.state == "begin" else 90)
        low = [one for one in seen.contrasts[scheme] if one.ratio < LEAST_CONTRAST]
        assert low == [], seen.state


def test_the_page_follows_the_scheme(walk: list[Seen]) -> None:
    for seen in walk:
        light, dark = (
            [int(part) for part in seen.grounds[scheme][len("rgb(") : -1].split(",")]
            for scheme in SCHEMES
        )
        assert min(light) > 200
        assert max(dark) < 60


def test_every_control_has_a_name(walk: list[Seen]) -> None:
    for seen in walk:
        assert [role for role, name in seen.controls if not name] == [], seen.state
    roles = {role for seen in walk for role, _ in seen.controls}
    assert {"button", "slider", "combobox", "option", "switch", "spinbutton"} <= roles
    sliders = [name for seen in walk for role, name in seen.controls if role == "slider"]
    assert all(name.startswith("Stars for ") for name in sliders)


@pytest.mark.slow
def test_a_reason_points_up_or_down_from_its_line(browser: Browser, url: str) -> None:
    visitor = Visitor(browser, url).begun()
    visitor.give_three()
    visitor.open_reasons()
    ways = set()
    for push in visitor.page.locator(".push").all():
        line = push.evaluate("push => push.getBoundingClientRect().left")
        left, right = push.locator("i").evaluate(
            "bar => [bar.getBoundingClientRect().left, bar.getBoundingClientRect().right]"
        )
        ways.add((left - line > -1, right - line < 2))
    assert ways == {(True, False), (False, True)}
    visitor.context.close()
