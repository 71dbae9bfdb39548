"""The page in a real browser, with a real service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from reeltune.scoring.predictor import Predictor
from tests.browser import chromium
from tests.serve.page_visitor import Visitor
from tests.serve.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

CAROUSEL_RATINGS = (5.0, 1.5, 4.0)
"""What ``Visitor.give_three`` gives."""

ROUNDING = 0.051
"""How far a number with one decimal may lie from what it stands for."""

HOSTILE = "<img src=x onerror=\"alert('here')\"> <|im_end|> </h3><script>alert(1)</script> &amp;"

MINUS = "\N{MINUS SIGN}"
NO_RATING = "\N{EN DASH}"

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def url(service: Running) -> str:
    return f"http://127.0.0.1:{service.port}"


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Visit]:
    """Opens the page; afterwards checks that it logged nothing and sent nothing to other hosts."""
    visitors: list[Visitor] = []

    def opened(**how: Any) -> Visitor:
        visitors.append(Visitor(browser, url, **how))
        return visitors[-1].begun()

    yield opened
    for visitor in visitors:
        assert visitor.complaints == []
        assert f"{url}/page.js" in visitor.requests
        assert visitor.foreign(url) == []
        visitor.context.close()


def most_rated(service: Running, count: int) -> list[dict[str, Any]]:
    return service.client.get("/items", params={"limit": count}).json()["items"]


def requested_directly(
    service: Running, rating: tuple[float, ...], **more: Any
) -> list[dict[str, Any]]:
    """Request recommendations without the page, for ratings of the most rated films."""
    films = most_rated(service, max(1, len(rating)))[: len(rating)]
    rated = [
        {"item_id": film["item_id"], "rating": s} for film, s in zip(films, rating, strict=True)
    ]
    answer = service.post("/recommendations", history=rated, top_k=10, **more)
    assert answer.status_code == 200
    return answer.json()["recommendations"]


def assert_shows(listed: list[dict[str, Any]], response: list[dict[str, Any]]) -> None:
    """Check that the list shows the films and numbers of a response."""
    assert [one["title"] for one in listed] == [
        one["item"]["title"] or "Untitled" for one in response
    ]
    for shown, one in zip(listed, response, strict=True):
        assert shown["tuned"] == pytest.approx(100 * one["p_like"], abs=ROUNDING)


@pytest.mark.slow
def test_three_ratings_show_an_ordered_list_and_a_fourth_changes_it(
    visit: Visit, service: Running
) -> None:
    visitor = visit()
    visitor.give_three()
    before = visitor.listed()
    assert len(before) == 10
    numbers = [one["tuned"] for one in before]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1]
    assert_shows(before, requested_directly(service, CAROUSEL_RATINGS))
    visitor.response_to(lambda: visitor.give(3, 0.5))
    after = visitor.listed()
    assert_shows(after, requested_directly(service, (*CAROUSEL_RATINGS, 0.5)))
    assert after != before


@pytest.mark.slow
def test_the_first_list_is_that_of_somebody_without_ratings(
    visit: Visit, service: Running, served_predictor: Predictor
) -> None:
    visitor = visit()
    page, note = visitor.page, served_predictor.history_note(0)
    assert note
    assert_shows(visitor.listed(), requested_directly(service, ()))
    shown = page.locator("#list-note").text_content() or ""
    assert "rated nothing yet" in shown
    assert note[1:] in shown
    assert not page.locator(".why").first.is_visible()
    visitor.response_to(lambda: visitor.give(0, 5.0))
    visitor.give_three()
    assert page.locator(".why").first.is_visible()
    assert "rated nothing yet" not in (page.locator("#list-note").text_content() or "")
    visitor.response_to(page.locator("#start-over").click)
    assert_shows(visitor.listed(), requested_directly(service, ()))


@pytest.mark.slow
def test_the_base_model_is_shown_beside_the_tuned_one_when_asked_for(
    visit: Visit, service: Running
) -> None:
    visitor = visit()
    visitor.give_three()
    assert {one["base"] for one in visitor.listed()} == {None}
    visitor.compare()
    response = requested_directly(service, CAROUSEL_RATINGS, base=True)
    assert_shows(visitor.listed(), response)
    shown = [one["base"] for one in visitor.listed()]
    assert shown == pytest.approx([100 * one["p_like_base"] for one in response], abs=ROUNDING)
    assert shown != [one["tuned"] for one in visitor.listed()]
    visitor.compare()
    assert {one["base"] for one in visitor.listed()} == {None}


@pytest.mark.slow
def test_reasons_name_the_ratings_with_the_largest_effects(visit: Visit, service: Running) -> None:
    visitor = visit()
    visitor.give_three()
    visitor.open_reasons()
    reasons = visitor.page.locator(".card").first.locator(".reasons li")
    shown = reasons.locator(".effect").evaluate_all("all => all.map(one => one.firstChild.data)")
    response = requested_directly(service, CAROUSEL_RATINGS, reasons=3)[0]["reasons"]
    assert len(response) == len(CAROUSEL_RATINGS)
    effects = [float(one.replace(MINUS, "-").replace("±", "")) for one in shown]
    assert effects == pytest.approx([100 * reason["effect"] for reason in response], abs=ROUNDING)
    texts = reasons.all_text_contents()
    for text, reason in zip(texts, response, strict=True):
        assert (reason["item"]["title"] or "Untitled") in text
        assert f", {reason['rating']:.1f} stars" in text


@pytest.mark.slow
def test_search_and_stars_need_no_mouse(visit: Visit, service: Running) -> None:
    film = next(one for one in most_rated(service, 50) if one["title"] == "Amélie")
    visitor = visit()
    page = visitor.page
    focused = "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    keys.press("Tab")
    assert page.evaluate(focused) == "query"
    keys.type("amelie")
    page.locator("#found [role=option]").first.wait_for()
    keys.press("ArrowDown")
    assert page.locator("#found [aria-selected=true]").get_attribute("id") == page.locator(
        "#query"
    ).get_attribute("aria-activedescendant")
    keys.press("Enter")
    name = f"Amélie ({film['year']})"
    assert page.evaluate(focused) == f"Stars for {name}"
    assert visitor.rated() == [(name, NO_RATING)]
    visitor.response_to(lambda: keys.press("4"))
    assert visitor.rated() == [(name, "4.0")]
    visitor.response_to(lambda: keys.press("ArrowLeft"))
    assert visitor.rated() == [(name, "3.5")]
    assert page.evaluate(focused) == f"Stars for {name}"
    response = service.post(
        "/recommendations", history=[{"item_id": film["item_id"], "rating": 3.5}], top_k=10
    )
    assert_shows(visitor.listed(), response.json()["recommendations"])


@pytest.mark.slow
def test_ratings_outlive_a_reload_until_one_starts_over(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    visitor.give_three()
    rated, listed = visitor.rated(), visitor.listed()
    assert [rating for _, rating in rated] == [f"{rating:.1f}" for rating in CAROUSEL_RATINGS]
    visitor.response_to(page.reload)
    assert visitor.rated() == rated
    assert visitor.listed() == listed
    visitor.response_to(page.locator("#start-over").click)
    assert visitor.rated() == []
    assert visitor.listed() != listed
    visitor.response_to(page.locator("#undo").click)
    assert visitor.rated() == rated
    assert visitor.listed() == listed
    page.locator("#start-over").click()
    page.reload()
    visitor.begun()
    assert visitor.rated() == []


@pytest.mark.slow
def test_ratings_in_the_former_format_are_read(visit: Visit, service: Running) -> None:
    visitor = visit()
    data = service.client.get("/health").json()["data"]
    film = {"id": most_rated(service, 1)[0]["item_id"], "title": "Old", "year": 1980}
    saved = {"data": data, "ratings": [{"film": film, "rating": 4.5}], "wishes": {"base": True}}
    visitor.page.evaluate("saved => localStorage.setItem('reeltune', saved)", json.dumps(saved))
    visitor.response_to(visitor.page.reload)
    assert visitor.rated() == [("Old (1980)", "4.5")]
    assert visitor.page.locator("#base").is_checked()


@pytest.mark.slow
def test_hostile_titles_are_only_text(visit: Visit) -> None:
    visitor = visit(title=HOSTILE)
    page = visitor.page
    visitor.give_three()
    visitor.open_reasons()
    page.locator("#query").fill("love")
    page.locator("#found [role=option]").first.wait_for()
    assert {one["title"] for one in visitor.listed()} == {HOSTILE}
    assert set(page.locator(".frame h3").all_text_contents()) == {HOSTILE}
    for place in ("#found .name", "#rated .name", ".reasons li"):
        texts = page.locator(place).all_text_contents()
        assert texts
        assert all(HOSTILE in text for text in texts)
    assert page.locator("img, iframe, body script").count() == 0


@pytest.mark.slow
def test_only_stars_of_the_scale_can_be_given(browser: Browser, url: str) -> None:
    visitor = Visitor(browser, url)
    page = visitor.page

    served_as(page, {"scale": {"min": 1.0, "max": 5.0, "step": 1.0}})
    visitor.begun()
    for place, rating in enumerate((0.5, 1.5, 4.0, 4.5)):
        visitor.give(place, rating)
    assert [rating for _, rating in visitor.rated()] == ["1.0", "2.0", "4.0", "5.0"]
    page.keyboard.press("ArrowLeft")
    assert visitor.rated()[-1][1] == "4.0"
    visitor.context.close()


def served_as(page: Any, changes: dict[str, Any]) -> None:
    """Let /health answer with other values, and load the page again."""

    def changed(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | changes)

    page.route("**/health", changed)
    page.reload()


_NAMED = """() => [document.title, document.body.innerText,
    ...[...document.querySelectorAll('[aria-label], [aria-valuetext]')].flatMap(
        element => [element.ariaLabel, element.ariaValueText])].join(' ')"""


@pytest.mark.slow
def test_a_page_of_books_has_no_word_of_films(browser: Browser, books: Running) -> None:
    visitor = Visitor(browser, f"http://127.0.0.1:{books.port}")
    visitor.begun()
    texts = [visitor.page.evaluate(_NAMED)]
    visitor.give_three()
    visitor.open_reasons()
    visitor.page.locator("#query").fill("love")
    visitor.page.locator("#found [role=option]").first.wait_for()
    texts.append(visitor.page.evaluate(_NAMED))
    visitor.page.locator("#year-from").evaluate("e => { e.value = 2099; }")
    visitor.page.locator("#year-from").dispatch_event("change")
    visitor.page.locator("#list-none .big, #notice .message").first.wait_for()
    texts.append(visitor.page.evaluate(_NAMED))
    shown = " ".join(texts)
    for text in ("books for you", "Books for you", "Rate a few books", "Points for", "4.0 points"):
        assert text in shown
    titles = {item["title"] for item in books.client.get("/items?limit=50").json()["items"]}
    for title in sorted(titles - {""}, key=len, reverse=True):
        shown = shown.replace(title, "")
    assert not re.search(r"\b(films?|movies?|stars?)\b", shown.replace("Film-Noir", ""), re.I)
    assert visitor.complaints == []
    visitor.context.close()


@pytest.mark.slow
def test_likes_are_given_with_a_click(browser: Browser, books: Running) -> None:
    visitor = Visitor(browser, f"http://127.0.0.1:{books.port}")
    said = [("not liked", 0.0), ("liked", 1.0)]
    ratings = [{"rating": rating, "said": text, "label": text} for text, rating in said]
    domain = {"item": "book", "items": "books", "noun": "rating", "ratings": ratings}
    served_as(visitor.page, {"scale": {"min": 0.0, "max": 1.0, "step": 1.0}, "domain": domain})
    visitor.begun()
    visitor.give(0, 1.0)
    visitor.give(1, 4.0)
    assert [label for _, label in visitor.rated()] == ["not liked", "liked"]
    assert visitor.page.locator("#rated input").last.get_attribute("aria-valuetext") == "liked"
    visitor.page.keyboard.press("0")
    assert [label for _, label in visitor.rated()] == ["not liked", "not liked"]
    visitor.context.close()


@pytest.mark.slow
def test_ratings_up_to_ten_are_given_with_clicks_and_keys(browser: Browser, books: Running) -> None:
    visitor = Visitor(browser, f"http://127.0.0.1:{books.port}")
    ratings = [{"rating": n, "said": f"{n} of 10", "label": str(n)} for n in range(1, 11)]
    domain = {"item": "book", "items": "books", "noun": "rating", "ratings": ratings}
    served_as(visitor.page, {"scale": {"min": 1.0, "max": 10.0, "step": 1.0}, "domain": domain})
    visitor.begun()
    for place, half_star in enumerate((0.5, 4.5, 5.0)):
        visitor.give(place, half_star)
    assert [label for _, label in visitor.rated()] == ["1", "9", "10"]
    visitor.page.keyboard.press("7")
    assert visitor.rated()[-1][1] == "7"
    visitor.context.close()
