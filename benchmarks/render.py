"""Write the tables of the documentation from benchmarks/results/*.json.

Each result is one table, between two markers that name its file::

    <!-- begin: score_throughput.h100 -->
    <!-- end: score_throughput.h100 -->

    python -m benchmarks.render            # write the tables
    python -m benchmarks.render --check    # fail if a page is stale
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path("benchmarks/results")
LINK: Final = "../../benchmarks/results"
"""Link to the results from a page in a folder of docs/."""
PAGES: Final = {
    "quality_": Path("docs/measurements/quality.md"),
    "finalists_": Path("docs/experiments/signals.md"),
    "": Path("docs/measurements/performance.md"),
}
"""Page of each result, by the first matching prefix of its name."""

_FIELDS: Final = ("hardware", "versions", "command", "cases")
_FIRST: Final = ("form", "case")
_TITLES: Final = {
    "auc_per_user_mean, validation": "AUC per user, validation",
    "auc_interval": "95 %",
    "auc_per_user_mean": "AUC per user, mean",
    "deviation": "deviation of P(Yes)",
    "high": "97.5 %",
    "largest_difference": "largest difference of P(Yes)",
    "low": "2.5 %",
    "peak_gib": "peak GiB",
    "ratio_to_map": "times `map`",
    "share_of_matrix_peak": "share of the matrix rate",
    "value": "difference",
    "what": "AUC of",
}
# Meaningless with random weights, or of interest only in the file.
_LEFT_OUT: Final = frozenset(
    {
        "first_loss",
        "last_loss",
        "steps_counted",
        "test_auc_base",
        "test_auc_tuned",
        "test_rows",
    }
)
_INTERVAL: Final = "auc_interval"
"""The only interval that is shown."""
_SHARES: Final = frozenset({"share_of_matrix_peak"})
_DIFFERENCES: Final = frozenset({"value", "low", "high"})
"""A difference of two metrics and the ends of its interval."""
_BLOCK: Final = re.compile(r"<!-- begin: (\S+) -->\n(.*?)<!-- end: \1 -->", re.DOTALL)
_MARKER: Final = re.compile(r"<!-- (?:begin|end): (\S+) -->")


def problems(result: dict[str, Any]) -> list[str]:
    """Return what is missing in a result: fields, case names, figures."""
    missing = [f"no {field}" for field in _FIELDS if field not in result]
    for number, case in enumerate(result.get("cases", [])):
        if "case" not in case:
            missing.append(f"case {number} has no name")
        if "failed" not in case and not any(_is_measured(key) for key in case):
            missing.append(f"case {number} has neither a rate nor a time nor an AUC")
    return missing


def _is_measured(key: str) -> bool:
    return key.endswith(("_per_s", "seconds")) or _is_auc(key)


def _is_auc(key: str) -> bool:
    return key.split(",", maxsplit=1)[0] == "auc"


def render(name: str, result: dict[str, Any], folder: str = LINK) -> str:
    """Return the Markdown between the markers of a result.

    Args:
        name: The result's file name without ".json".
        result: Its content.
        folder: Link from the page to the file's folder.
    """
    file = f"{name}.json"
    lines = [
        f"`{result['command']}`",
        f"{_hardware(result['hardware'])}. {_versions(result['versions'])}.",
        *([f"{result['note'].rstrip('.')}."] if "note" in result else []),
        f"All figures: [{file}]({folder}/{file}).",
    ]
    tables = [table(result["cases"])]
    for key, value in result.items():
        if key != "cases" and isinstance(value, list):
            tables += [f"{title(key)[0].upper()}{title(key)[1:]}:", table(value)]
    return "\n\n".join([*lines, *tables]) + "\n"


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a table, with the columns of :func:`columns_of`."""
    columns = columns_of(rows)
    cells = [[_cell(key, row.get(key)) for key in columns] for row in rows]
    right = [all(_is_number(row.get(key)) for row in rows) for key in columns]
    rule = ["---:" if number else "---" for number in right]
    lines = ([title(key) for key in columns], rule, *cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def columns_of(cases: list[dict[str, Any]]) -> list[str]:
    """Return the keys that are shown: names first, then the others in order.

    Lists, nested figures and :data:`_LEFT_OUT` stay in the file.
    """
    keys = dict.fromkeys(key for case in cases for key in case)
    shown = [
        key
        for key in keys
        if key not in _LEFT_OUT
        and not any(isinstance(case.get(key), list | dict) for case in cases if key != _INTERVAL)
        and any(case.get(key) is not None for case in cases)
    ]
    return [key for key in _FIRST if key in shown] + [key for key in shown if key not in _FIRST]


def title(key: str) -> str:
    """Return the heading of a column, with its unit."""
    if key in _TITLES:
        return _TITLES[key]
    words = re.sub(r"_per_s$", "/s", key)
    words = re.sub(r"_gib$", " GiB", words)
    return re.sub(r"\b(auc|ece|ndcg)\b", lambda name: name[0].upper(), words.replace("_", " "))


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == _INTERVAL:
        return " to ".join(f"{end:.3f}" for end in value)
    if not _is_number(value):
        return str(value).replace("|", "\\|")
    if _is_auc(key):
        return f"{value:.4f}"
    if key in _DIFFERENCES:
        return f"{value:+.4f}"
    return f"{100 * value:.1f} %" if key in _SHARES else number(value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def number(value: float) -> str:
    """Format a number: counts whole, measurements to three digits."""
    if isinstance(value, int) or value == 0:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.1e}"
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:#.3g}".rstrip(".")


def _hardware(machine: dict[str, Any]) -> str:
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    cores, memory = machine["cpu_cores"], machine["memory_gib"]
    return f"{machine['platform']}, {cores} cores, {memory} GiB of memory, {gpus}"


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def fill_page(page: str, results: dict[str, dict[str, Any]], folder: str = LINK) -> str:
    """Return a page with every result between its markers.

    Args:
        page: The present text.
        results: Results by name.
        folder: Link from the page to the results.

    Raises:
        SystemExit: Results and markers do not match, or a result is incomplete.
    """
    marked = [name for name, _ in _BLOCK.findall(page)]
    errors = [f"{name}.json has no markers" for name in results if name not in marked]
    errors += [f"there is no {name}.json" for name in marked if name not in results]
    errors += [f"the markers of {name} are not one pair" for name in _unpaired(page)]
    errors += [f"{name}.json: {problem}" for name in results for problem in problems(results[name])]
    if errors:
        raise SystemExit("\n".join(errors))

    def fill(block: re.Match[str]) -> str:
        name = block[1]
        markdown = render(name, results[name], folder)
        return f"<!-- begin: {name} -->\n\n{markdown}\n<!-- end: {name} -->"

    return _BLOCK.sub(fill, page)


def _unpaired(page: str) -> list[str]:
    markers = _MARKER.findall(page)
    return [name for name in dict.fromkeys(markers) if markers.count(name) != 2]


def results_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results in a folder, by name."""
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(folder.glob("*.json"))
    }


def results_by_page(results: dict[str, Any]) -> dict[Path, dict[str, Any]]:
    """Group results by page."""
    by_page: dict[Path, dict[str, Any]] = {page: {} for page in PAGES.values()}
    for name, result in results.items():
        prefix = next(prefix for prefix in PAGES if name.startswith(prefix))
        by_page[PAGES[prefix]][name] = result
    return by_page


def link_from(page: Path) -> str:
    """Return the link from a page to the committed results."""
    return os.path.relpath(RESULTS, page.parent)


def main(arguments: list[str] | None = None) -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="Write nothing; fail if stale.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="One page for all results.")
    options = parser.parse_args(arguments)
    results = results_in(options.results)
    pages = results_by_page(results) if options.page is None else {options.page: results}
    for page, of_page in pages.items():
        before = page.read_text(encoding="utf-8")
        after = fill_page(before, of_page, link_from(page))
        if not options.check:
            page.write_text(after, encoding="utf-8")
        elif before != after:
            raise SystemExit(f"{page} is stale. Run: python -m benchmarks.render")


if __name__ == "__main__":
    main()
