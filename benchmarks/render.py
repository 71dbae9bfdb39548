"""Writes the tables of the documentation from benchmarks/results/*.json.

Each result is one table, between two markers that name its file::

    <!-- begin: score_throughput.h100 -->
    <!-- end: score_throughput.h100 -->

    python -m benchmarks.render            # write the tables
    python -m benchmarks.render --check    # say whether the page is what the results say
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path("benchmarks/results")
BESIDE: Final = "../benchmarks/results"
"""Where results lie as seen from a page in docs/."""
PAGES: Final = {
    "quality_": Path("docs/QUALITY.md"),
    "finalists_": Path("docs/experiments/signals.md"),
    "": Path("docs/PERFORMANCE.md"),
}
"""Where results go, by what their names begin with; the first that fits."""

_FIELDS: Final = ("hardware", "versions", "command", "cases")
_FIRST: Final = ("form", "case")
_TITLES: Final = {
    "auc_per_user_mean, validation": "AUC in a user, validation",
    "auc_interval": "95 %",
    "auc_per_user_mean": "AUC in a user, mean",
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
# Of models with random weights, or of no interest outside the file.
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
"""The one interval that is shown: its two ends."""
_SHARES: Final = frozenset({"share_of_matrix_peak"})
_DIFFERENCES: Final = frozenset({"value", "low", "high"})
"""A difference of two AUCs and the ends of its interval."""
_BLOCK: Final = re.compile(r"<!-- begin: (\S+) -->\n(.*?)<!-- end: \1 -->", re.DOTALL)
_MARKER: Final = re.compile(r"<!-- (?:begin|end): (\S+) -->")


def problems(result: dict[str, Any]) -> list[str]:
    """Return what a result lacks: where it was measured, how, and a figure per case."""
    found = [f"no {field}" for field in _FIELDS if field not in result]
    for number, case in enumerate(result.get("cases", [])):
        if "case" not in case:
            found.append(f"case {number} has no name")
        if "failed" not in case and not any(_is_measured(key) for key in case):
            found.append(f"case {number} has neither a rate nor a time nor an AUC")
    return found


def _is_measured(key: str) -> bool:
    return key.endswith(("_per_s", "seconds")) or _is_auc(key)


def _is_auc(key: str) -> bool:
    return key.split(",", maxsplit=1)[0] == "auc"


def rendered(name: str, result: dict[str, Any], folder: str = BESIDE) -> str:
    """Return what stands between the markers of a result.

    Args:
        name: The result's file name, without its ending.
        result: Its content.
        folder: Where the file lies, as seen from the page.
    """
    file = f"{name}.json"
    said = [
        f"`{result['command']}`",
        f"{_hardware(result['hardware'])}. {_versions(result['versions'])}.",
        *([f"{result['note'].rstrip('.')}."] if "note" in result else []),
        f"All figures: [{file}]({folder}/{file}).",
    ]
    tables = [table(result["cases"])]
    for key, value in result.items():
        if key != "cases" and isinstance(value, list):
            tables += [f"{title(key).capitalize()}:", table(value)]
    return "\n\n".join([*said, *tables]) + "\n"


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a table, with the columns of :func:`columns_of`."""
    columns = columns_of(rows)
    cells = [[_cell(key, row.get(key)) for key in columns] for row in rows]
    right = [all(_is_number(row.get(key)) for row in rows) for key in columns]
    rule = ["---:" if number else "---" for number in right]
    lines = ([title(key) for key in columns], rule, *cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def columns_of(cases: list[dict[str, Any]]) -> list[str]:
    """Return the keys that are shown: names first, then the others as the cases list them.

    Lists, nested figures and what says nothing about speed stay in the file.
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
    return words.replace("_", " ")


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
    """Return a number as a reader wants it: counts whole, measurements to three digits."""
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


def rewritten(page: str, results: dict[str, dict[str, Any]], folder: str = BESIDE) -> str:
    """Return a page with every result between its markers.

    Args:
        page: The page as it is.
        results: Each result by its name.
        folder: Where the results lie, as seen from the page.

    Raises:
        SystemExit: A result has no place, or a place has no result.
    """
    places = [name for name, _ in _BLOCK.findall(page)]
    faults = [f"{name}.json has no markers" for name in results if name not in places]
    faults += [f"there is no {name}.json" for name in places if name not in results]
    faults += [f"the markers of {name} are not one pair" for name in _unpaired(page)]
    faults += [f"{name}.json: {fault}" for name in results for fault in problems(results[name])]
    if faults:
        raise SystemExit("\n".join(faults))

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        table = rendered(name, results[name], folder)
        return f"<!-- begin: {name} -->\n\n{table}\n<!-- end: {name} -->"

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
    """Return each page with the results that belong on it."""
    found: dict[Path, dict[str, Any]] = {page: {} for page in PAGES.values()}
    for name, result in results.items():
        begin = next(begin for begin in PAGES if name.startswith(begin))
        found[PAGES[begin]][name] = result
    return found


def seen_from(page: Path) -> str:
    """Return where the committed results lie, as a link on a page has it."""
    return os.path.relpath(RESULTS, page.parent)


def main(arguments: list[str] | None = None) -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="Write nothing; fail if stale.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="One page for all results.")
    options = parser.parse_args(arguments)
    results = results_in(options.results)
    pages = results_by_page(results) if options.page is None else {options.page: results}
    for page, own in pages.items():
        before = page.read_text(encoding="utf-8")
        after = rewritten(before, own, seen_from(page))
        if not options.check:
            page.write_text(after, encoding="utf-8")
        elif before != after:
            raise SystemExit(f"{page} is stale. Run: python -m benchmarks.render")


if __name__ == "__main__":
    main()
