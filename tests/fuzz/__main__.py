"""Run the campaign: ``python -m tests.fuzz``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["POLARS_MAX_THREADS"] = "2"
os.environ["TQDM_DISABLE"] = "1"

SHARES = {
    "tables": 6,
    "archives": 4,
    "yaml": 4,
    "prepared": 5,
    "adapters": 2,
    "pairs": 3,
    "http": 4,
}
"""How the inputs are divided; kinds with slow inputs get fewer."""


def main() -> int:
    """Run the campaign and print its table; 1 if a traceback or a silent fault occurred."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all inputs (0)")
    parser.add_argument("--inputs", type=int, default=2800, help="number over all kinds (2800)")
    parser.add_argument("--kind", choices=SHARES, action="append", help="only this kind")
    parser.add_argument("--only", metavar="KIND:INDEX", help="replay one input and keep its files")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time (2)")
    parser.add_argument(
        "--work", type=Path, default=Path(".cache/fuzz"), help="folder of all files"
    )
    given = parser.parse_args()
    start = time.monotonic()

    from tests.fuzz.campaign import Outcome, Result, Supervisor

    supervisor = Supervisor(given.work.resolve(), given.seed)
    if given.only:
        return _replay(given.only, supervisor)
    shutil.rmtree(given.work, ignore_errors=True)
    supervisor.build_workplace()
    results: list[Result] = []

    def run(kind: str, indices: range) -> None:
        for result in supervisor.run(kind, indices):
            results.append(result)
            if result.failed:
                print(result, flush=True)

    wanted = {
        kind: share for kind, share in SHARES.items() if given.kind is None or kind in given.kind
    }
    inputs = {
        kind: max(1, given.inputs * share // sum(wanted.values())) for kind, share in wanted.items()
    }
    with ThreadPoolExecutor(given.workers) as pool:
        slices = chain.from_iterable(
            [(kind, range(first, min(first + 100, count))) for first in range(0, count, 100)]
            for kind, count in inputs.items()
        )
        for future in [pool.submit(run, *one) for one in slices]:
            future.result()
    counts = Counter((result.kind, result.outcome) for result in results)
    print(f"\n{'kind':10}{'inputs':>8}" + "".join(f"{outcome:>15}" for outcome in Outcome))
    for kind in [*inputs, "all"]:
        row = [
            sum(
                n for (name, what), n in counts.items() if what == outcome and kind in (name, "all")
            )
            for outcome in Outcome
        ]
        print(f"{kind:10}{sum(row):>8}" + "".join(f"{count:>15}" for count in row))
    false = [result for result in results if result.false_error]
    print(f"seed {given.seed}, {len(results)} inputs, {time.monotonic() - start:.0f} s")
    print(f"{len(false)} readable inputs were refused")
    for result in false:
        print(f"  {result}")
    failed = sorted(result.index for result in results if result.failed)
    if failed:
        print(
            f"{len(failed)} failures; their files are in {given.work}. Replay one: python -m "
            f"tests.fuzz --seed {given.seed} --only KIND:INDEX"
        )
    return 1 if failed else 0


def _replay(name: str, supervisor: object) -> int:
    from tests.fuzz.campaign import Supervisor, attempt
    from tests.fuzz.kinds import KINDS
    from tests.fuzz.workplace import Workplace

    assert isinstance(supervisor, Supervisor)
    kind_name, _, index = name.partition(":")
    if not (supervisor.work / "workplace/run").exists():
        supervisor.build_workplace()
    folder = supervisor.work / f"{kind_name}-{index}"
    kind = KINDS[kind_name](Workplace(supervisor.work / "workplace"))
    result = attempt(kind, supervisor.seed, int(index), folder)
    kind.close()
    print(result)
    print(f"files: {folder}")
    return int(result.failed)


if __name__ == "__main__":
    sys.exit(main())
