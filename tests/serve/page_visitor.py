"""A visitor of the page: opens it in a browser, gives stars, reads what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

MOST_RATING = 5
Scheme = Literal["light", "dark"]

_LISTED = """() => [...document.querySelectorAll('#list .card')].map(item => ({
    title: item.querySelector('h3').firstChild.data,
    tuned: parseFloat(item.querySelector('.tuned .value').textContent),
    base: item.querySelector('.base').checkVisibility()
        ? parseFloat(item.querySelector('.base .value').textContent) : null,
}))"""


class Visitor:
    """The page in a browser context of its own, with its console messages and requests.

    Args:
        browser: Opens it.
        url: Where the service is.
        scheme: Light or dark.
        width: Of the window, in CSS pixels.
        height: Of the window, in CSS pixels.
        title: What every film is called instead of its title.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        scheme: Scheme = "light",
        width: int = 1280,
        height: int = 900,
        title: str | None = None,
    ) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        if title is not None:
            call_all_items(self.page, title)
        self.page.goto(url)

    def begun(self) -> Visitor:
        """Wait until there are films to rate, and the first list."""
        self.page.locator(".frame h3").first.wait_for()
        self.page.locator("#list[aria-busy=false] .card:not(.skeleton)").first.wait_for()
        return self

    def response_to(self, act: Callable[[], object]) -> dict[str, Any]:
        """Do something that loads a new list; return the response once it is shown."""
        with self.page.expect_response("**/recommendations") as coming:
            act()
        answer = coming.value.json()
        self.page.locator("#list[aria-busy=false]").wait_for()
        return answer

    def give(self, place: int, rating: float) -> None:
        """Click on the stars of a film of the carousel."""
        click_stars(self.page.locator(".frame .stars").nth(place), rating)

    def give_three(self) -> dict[str, Any]:
        """Rate the first three films of the carousel; return the answer once it is shown."""

        def rate() -> None:
            for place, rating in enumerate((5.0, 1.5, 4.0)):
                self.give(place, rating)

        return self.response_to(rate)

    def find(self, text: str, rating: int) -> dict[str, Any]:
        """Search for a film and give it whole stars, all with keys; return the answer."""
        self.page.locator("#query").focus()
        self.page.keyboard.type(text)
        self.page.locator("#found [role=option]").first.wait_for()
        self.page.keyboard.press("ArrowDown")
        self.page.keyboard.press("Enter")
        return self.response_to(lambda: self.page.keyboard.press(str(rating)))

    def compare(self) -> dict[str, Any]:
        """Switch the base model on or off; return the answer."""
        return self.response_to(self.page.locator("#base").click)

    def open_reasons(self) -> dict[str, Any]:
        """Open the reasons of the first film; return the response."""
        return self.response_to(self.page.locator(".card summary").first.click)

    def listed(self) -> list[dict[str, Any]]:
        """Return titles and percentages of the list, in its order; base is None where hidden."""
        return self.page.evaluate(_LISTED)

    def rated(self) -> list[tuple[str, str]]:
        """Return names and stars under "Your ratings"."""
        names = self.page.locator("#rated .name").all_text_contents()
        values = self.page.locator("#rated .value").all_text_contents()
        return list(zip(names, values, strict=True))

    def foreign(self, url: str) -> list[str]:
        """Return the requests to other hosts."""
        return [one for one in self.requests if not one.startswith(f"{url}/")]


def click_stars(rating_control: Locator, rating: float) -> None:
    """Click in the middle of the half star that stands for so many stars."""
    rating_control.scroll_into_view_if_needed()
    box = rating_control.bounding_box()
    assert box is not None
    across = (rating - 0.25) / MOST_RATING
    rating_control.click(position={"x": across * box["width"], "y": box["height"] / 2})


def call_all_items(page: Page, title: str) -> None:
    """Let every film of every answer of the service have a title."""

    def renamed(route: Route) -> None:
        answer = route.fetch()
        response = answer.json()
        for film in _items_in(response):
            film["title"] = title
        route.fulfill(response=answer, json=response)

    page.route("**/items?*", renamed)
    page.route("**/recommendations", renamed)


def _items_in(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from response.get("items", [])
    for one in response.get("recommendations", []):
        yield one["item"]
        yield from (reason["item"] for reason in one["reasons"])
