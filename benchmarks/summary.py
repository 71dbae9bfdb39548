"""Write the chart and the short table of docs/PERFORMANCE.md and docs/QUALITY.md.

Each page has a table between two markers, ``<!-- begin summary -->`` and ``<!-- end summary -->``,
and a chart in docs/images/. Both come from benchmarks/results/::

    python -m benchmarks.summary            # write them
    python -m benchmarks.summary --check    # fail if one is stale
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from benchmarks.render import RESULTS, number

IMAGES: Final = Path("docs/images")
MOST_ROWS: Final = 8

_TRAINING: Final = {
    "trl_default": "TRL SFTTrainer, defaults",
    "trl batch 32, activations kept": "TRL SFTTrainer, batch 32",
    "single": "reeltune, one prompt per example",
    "blocks": "reeltune, blocks, window form",
    "interview": "reeltune, blocks, interview form",
}
_SCORING: Final = {
    "in batches": "prompts in batches",
    "in blocks, compiled layers": "blocks",
    "rank, compiled layers": "9,742 films after one history",
}
_SCORERS: Final = {
    "base": "SmolLM2-135M, base",
    "tuned, seed 42": "SmolLM2-135M, tuned",
    "shipped, seed 42": "SmolLM2-135M in the fusion: what is shipped",
    "item kNN": "item kNN",
    "matrix factorization": "matrix factorization",
    "gradient boosting": "gradient boosting",
    "expected alone": "the signal `expected` alone",
    "gradient boosting with signals": "gradient boosting with the signals",
}
_SUMMARY: Final = re.compile(r"<!-- begin summary -->\n.*?<!-- end summary -->", re.DOTALL)

_WIDTH: Final = 640
_ROW: Final = 48
_LABEL_Y: Final = 18
_MARK_Y: Final = 33
_PLOT: Final = 540
"""Width in pixels of the area of the marks; values are to its right."""
_STYLE: Final = """
text { font: 14px -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: #1b2326; }
.muted { fill: #59666b; font-size: 12px; }
.ours { fill: #0a6670; stroke: #0a6670; }
.other { fill: #8b979b; stroke: #8b979b; }
.grid { stroke: #d6dbda; }
@media (max-width: 480px) {
text { font-size: 22px; }
.muted { font-size: 20px; }
}
@media (prefers-color-scheme: dark) {
text { fill: #e7ecec; }
.muted { fill: #9eabaf; }
.ours { fill: #63c7cf; stroke: #63c7cf; }
.other { fill: #77848a; stroke: #77848a; }
.grid { stroke: #39444a; }
}
"""


@dataclass(frozen=True)
class Bar:
    """One row of a chart; ``interval`` is None for a bar that begins at zero."""

    label: str
    text: str
    value: float
    ours: bool
    interval: tuple[float, float] | None = None


def cases_of(results: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Return the cases of a result by name; of two forms, those of the interview."""
    cases = results[name]["cases"]
    return {case["case"]: case for case in cases if case.get("form", "interview") == "interview"}


def performance(results: dict[str, Any]) -> tuple[str, str]:
    """Return the chart of training speed, and the table of training and scoring."""
    training = cases_of(results, "train_throughput.h100")
    scoring = cases_of(results, "score_throughput.h100")
    bars, rows = [], []
    for case, label in _TRAINING.items():
        rate, peak = training[case]["examples_per_s"], training[case]["peak_gib"]
        bars.append(Bar(label, number(rate), rate, label.startswith("reeltune")))
        fastest = training[case]["ratio_to_trl_fastest"]
        rows.append([f"training: {label}", number(rate), number(fastest), number(peak)])
    for case, label in _SCORING.items():
        rate, peak = scoring[case]["predictions_per_s"], scoring[case]["peak_gib"]
        ratio = scoring[case]["ratio_to_batches"]
        rows.append([f"scoring: {label}", number(rate), number(ratio), number(peak)])
    title = "Training examples per second on one H100"
    heads = ["case", "examples/s", "ratio to the comparison", "peak GiB"]
    return chart(title, bars, 0.0), table(heads, rows)


def quality(results: dict[str, Any]) -> tuple[str, str]:
    """Return the chart of AUC with intervals, and the table."""
    cases = cases_of(results, "quality_latest-small_user")
    bars, rows = [], []
    for case, label in _SCORERS.items():
        auc, (low, high) = cases[case]["auc"], cases[case]["auc_interval"]
        plain = label.replace("`", "")
        bars.append(Bar(plain, f"{auc:.3f}", auc, plain.startswith("SmolLM2"), (low, high)))
        per_user, loss = cases[case]["auc_per_user_mean"], cases[case]["log_loss"]
        interval = f"{low:.3f} to {high:.3f}"
        rows.append([label, f"{auc:.3f}", interval, f"{per_user:.3f}", f"{loss:.3f}"])
    title = "Test AUC with 95 % intervals; the axis begins at 0.7"
    return chart(title, bars, 0.7), table(
        ["scorer", "AUC", "95 %", "AUC per user, mean", "log loss"], rows
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table of at most :data:`MOST_ROWS` rows, with names in the first column."""
    if len(rows) > MOST_ROWS:
        raise ValueError(f"{len(rows)} rows in a summary of at most {MOST_ROWS}")
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def chart(title: str, bars: Sequence[Bar], start: float) -> str:
    """Return bars, or values with intervals, as SVG that follows the reader's colour scheme.

    Args:
        title: Above the chart, and its text alternative.
        bars: From top to bottom.
        start: The value at the left edge.
    """
    end = max(bar.interval[1] if bar.interval else bar.value for bar in bars)
    height = 36 + _ROW * len(bars)

    def x(value: float) -> str:
        return f"{_PLOT * (value - start) / (end - start):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="muted" x="0" y="18">{escape(title)}</text>',
    ]
    for i, bar in enumerate(bars):
        top, color = 32 + _ROW * i, "ours" if bar.ours else "other"
        y = top + _MARK_Y
        parts.append(f'<text x="0" y="{top + _LABEL_Y}">{escape(bar.label)}</text>')
        parts.append(f'<line class="grid" x1="0" x2="{_PLOT}" y1="{y}" y2="{y}"/>')
        if bar.interval is None:
            parts.append(
                f'<rect class="{color}" x="0" y="{y - 4}" width="{x(bar.value)}" height="8"/>'
            )
        else:
            low, high = map(x, bar.interval)
            parts.append(
                f'<line class="{color}" stroke-width="3" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
            )
            parts.append(f'<circle class="{color}" cx="{x(bar.value)}" cy="{y}" r="5"/>')
        parts.append(f'<text x="{_WIDTH}" y="{y + 5}" text-anchor="end">{escape(bar.text)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


PAGES: Final = {"PERFORMANCE": performance, "QUALITY": quality}


def rendered(root: Path) -> dict[Path, str]:
    """Return the content of every chart and page, by path below the root."""
    results = {
        file.stem: json.loads(file.read_text(encoding="utf-8"))
        for file in (root / RESULTS).glob("*.json")
    }
    files = {}
    for name, make in PAGES.items():
        svg, markdown = make(results)
        page = Path("docs") / f"{name}.md"
        text = (root / page).read_text(encoding="utf-8")
        block = f"<!-- begin summary -->\n\n{markdown}\n\n<!-- end summary -->"
        files[page] = _SUMMARY.sub(lambda _, block=block: block, text)
        files[IMAGES / f"{name.lower()}.svg"] = svg
    return files


def main() -> None:
    """Write the charts and tables, or compare them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="Write nothing; fail if stale.")
    options = parser.parse_args()
    for path, text in rendered(Path()).items():
        if not options.check:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{path} is stale. Run: python -m benchmarks.summary")


if __name__ == "__main__":
    main()
