"""Take the picture of the page: ``python -m tests.serve.page_shot URL FILE``.

A service must be running at the URL. Ratings are given with the keyboard, as a visitor would; the
picture shows the list with the base model beside the tuned one, and why the first film is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.browser import chromium
from tests.serve.page_visitor import Visitor

WIDTH = 1280
HEIGHT = 1280
LONGEST_S = 300
"""How long a real model may take over one list on a CPU."""

RATINGS = ("Matrix, The=5", "Toy Story=4", "Titanic=2")


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("url", help="where the service is, such as http://127.0.0.1:8000")
    parser.add_argument("file", type=Path, help="the PNG to write")
    parser.add_argument(
        "--rate", nargs="+", default=RATINGS, metavar="TITLE=STARS", help="films and whole stars"
    )
    given = parser.parse_args()
    with chromium() as browser:
        visitor = Visitor(browser, given.url, width=WIDTH, height=HEIGHT).begun()
        visitor.page.set_default_timeout(1000 * LONGEST_S)
        for rating in given.rate:
            title, _, stars = rating.rpartition("=")
            visitor.find(title, int(stars))
        visitor.compare()
        visitor.open_reasons()
        visitor.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        visitor.page.mouse.move(0, 0)
        visitor.page.screenshot(path=given.file)
        print(f"{given.file}: {given.file.stat().st_size} bytes, {visitor.rated()}")
        print("\n".join(visitor.complaints), end="")


if __name__ == "__main__":
    main()
