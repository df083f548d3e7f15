"""Play every fault of the network to a remote engine many times, and print a table of the runs that passed.

    make network-faults RUNS=20        or        python tests/support/run_network_faults.py --times 20 [--only TEXT]

The exit code is 1 if a run failed.
"""

from __future__ import annotations

import argparse
import collections
import statistics
import sys
import tempfile
import traceback
from pathlib import Path

from rich.console import Console
from rich.table import Table

from isolation import isolated_environment
from network_faults import FAULTS, Outcome, count_descriptors, play

Row = tuple[str, bool]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    options = parser.parse_args()
    rows = [(name, has_fallback) for name in FAULTS if options.only in name for has_fallback in (True, False)]
    outcomes, failures = collections.defaultdict[Row, list[Outcome]](list), collections.Counter[Row]()
    descriptors: list[int] = []
    console = Console(width=140)
    with isolated_environment():
        for number in range(options.times):  # in turns, so that a busy minute does not hit one row alone
            for row in rows:
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        outcomes[row].append(play(*row, Path(folder)))
                    except Exception:  # noqa: BLE001 - counted and shown
                        failures[row] += 1
                        traceback.print_exc()
            descriptors.append(count_descriptors())
            console.print(
                f"round {number + 1} of {options.times}: {failures.total()} failures, {descriptors[-1]} descriptors"
            )
    table = Table("fault", "fallback", "runs", "passed", "first answer, median ms", "worst", "requests sent")
    for row in rows:
        first_ms = [outcome.first_answer_ms for outcome in outcomes[row]] or [0.0]
        sent = sorted({outcome.requests for outcome in outcomes[row]})
        table.add_row(
            row[0], "local" if row[1] else "none", str(options.times), str(len(outcomes[row])),
            f"{statistics.median(first_ms):.0f}", f"{max(first_ms):.0f}", ", ".join(map(str, sent)),
        )  # fmt: skip
    console.print(table)
    has_leak = descriptors[-1] > descriptors[0]
    if has_leak:
        console.print(f"descriptors grew from {descriptors[0]} in the first round to {descriptors[-1]}")
    return 1 if failures or has_leak else 0


if __name__ == "__main__":
    sys.exit(main())
