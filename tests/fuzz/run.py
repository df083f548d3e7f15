"""Fuzzes all harnesses one after the other, each for an equal share of the time, and writes a report.

``make fuzz MINUTES=60``. Inputs that reach new code are kept below ``.cache/fuzz`` for the next run. Exits with 1 if
something that must hold did not, an input took more than a second of processor time, or the memory grew.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import registry

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "fuzz"
HANG_S = 60
"""An input that runs this long ends its process. Shorter ones are measured in processor time."""

MAX_RESIDENT_MB = 4096
MEMORY = Path("/dev/shm")
"""Linux: a file system in memory. The harnesses write several files for each input, which a disk slows down most."""

_MAX_REPLAY_S = 1.0
_WARM_UP_SHARE = 0.2
_ENDS = {72: "a signal from outside (SIGINT or SIGTERM) ended the process, so that its time was not used up"}
"""Exit codes of libFuzzer (FuzzerOptions.h) that say nothing about an input."""

_STATUS = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """``all_inputs`` counts those of earlier runs too; ``findings`` are the confirmed ones, as file name and reason."""

    name: str
    seconds: float
    inputs: int
    all_inputs: int
    branches: int
    kept: int
    growth_mb: float | None
    slowest_ms: float
    findings: tuple[tuple[str, str], ...]


def fuzz(name: str, seconds: float) -> Outcome:
    """Run one harness for ``seconds``, in a process of its own."""
    corpus, seeds, found = (CACHE / kind / name for kind in ("corpus", "seeds", "findings"))
    for folder in (corpus, seeds, found):
        folder.mkdir(parents=True, exist_ok=True)
    for file in (*seeds.iterdir(), *found.iterdir()):
        file.unlink()
    harness = registry.load(name)
    for number, seed in enumerate((*harness.seeds, *harness.more_seeds(), *registry.kept_inputs(name).values())):
        (seeds / str(number)).write_bytes(seed)
    command = [sys.executable, str(Path(__file__).with_name("fuzz_one.py")), name, str(found)]
    command += [str(seconds * _WARM_UP_SHARE), f"-max_total_time={max(1, round(seconds))}", f"-timeout={HANG_S}"]
    command += [
        f"-rss_limit_mb={MAX_RESIDENT_MB}",
        f"-dict={harness.dictionary}",
        f"-artifact_prefix={found}/",
        "-reload=0",
    ]
    command += ["-print_final_stats=1", "-verbosity=1", str(corpus), str(seeds)]
    start_s = time.monotonic()
    log = CACHE / f"{name}.log"
    with log.open("wb") as stream, tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as temporary:
        # With RUST_BACKTRACE=1, the first panic of a Rust library loads symbols of 50 MB, which would count as growth.
        environment = os.environ | {"TMPDIR": temporary, "RUST_BACKTRACE": "0"}
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT, env=environment).returncode
    output = log.read_text(encoding="utf-8", errors="replace")
    return _read_outcome(name, time.monotonic() - start_s, code, output, found)


def _read_outcome(name: str, seconds: float, code: int, output: str, found: Path) -> Outcome:
    summary = {"inputs": 0, "growth_bytes": None, "slowest_s": 0.0}
    if (found / "summary.json").is_file():
        summary = json.loads((found / "summary.json").read_text(encoding="utf-8"))
    statuses = _STATUS.findall(output)
    _, branches, _, kept = statuses[-1] if statuses else (0, 0, 0, 0)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", output)
    reasons = {file.stem: file.read_text(encoding="utf-8").split("\n")[0] for file in sorted(found.glob("*.txt"))}
    findings = [
        (file, reason)
        for file, reason in reasons.items()
        if not file.startswith("slow-") or _is_slow(name, found / file)
    ]
    ends = ("timeout-", "crash-", "oom-", "leak-")
    findings += [(file.name, "the process ended") for file in found.iterdir() if file.name.startswith(ends)]
    if code and not findings:
        findings.append(("no input", f"{_ENDS.get(code, f'the process ended with code {code}')}; see {name}.log"))
    growth = summary["growth_bytes"]
    inputs = int(executed[1]) if executed else summary["inputs"]
    return Outcome(
        name,
        seconds,
        inputs,
        count_all(name, inputs),
        int(branches),
        int(kept),
        None if growth is None else growth / (1 << 20),
        summary["slowest_s"] * 1000,
        tuple(findings),
    )


def read_totals() -> dict[str, int]:
    """The number of inputs of each harness in all runs since the folder was made."""
    file = CACHE / "totals.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def count_all(name: str, inputs: int) -> int:
    """Add ``inputs`` to those of earlier runs. The file is replaced, so that an interrupted run does not damage it."""
    totals = read_totals()
    totals[name] = totals.get(name, 0) + inputs
    new_file = CACHE / "totals.json.new"
    new_file.write_text(json.dumps(totals, indent=1), encoding="utf-8")
    new_file.replace(CACHE / "totals.json")
    return totals[name]


def _is_slow(name: str, file: Path) -> bool:
    """Whether the input also takes more than a second without the fuzzer, whose instrumentation slows code down."""
    replay = "import sys, time; from fuzz import registry; harness = registry.load(sys.argv[1]);"
    replay += "data = open(sys.argv[2], 'rb').read(); start = time.process_time(); harness.check(data);"
    replay += "print(time.process_time() - start)"
    command = [sys.executable, "-c", replay, name, str(file)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    return result.returncode != 0 or float(result.stdout) > _MAX_REPLAY_S


def report(outcomes: list[Outcome]) -> str:
    """The results as Markdown."""
    lines = ["| harness | inputs | in all runs | inputs/s | branches | kept | growth (MB) | slowest (ms) | findings |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for each in outcomes:
        growth = "in the warm-up" if each.growth_mb is None else f"{each.growth_mb:.0f}"
        speed = each.inputs / max(each.seconds, 1e-9)
        lines.append(
            f"| {each.name} | {each.inputs:,} | {each.all_inputs:,} | {speed:,.0f} | {each.branches:,} | {each.kept:,} "
            f"| {growth} | {each.slowest_ms:,.0f} | {len(each.findings)} |"
        )
    for each in outcomes:
        lines += [f"\n- {each.name}: {file}: {reason}" for file, reason in each.findings]
    return "\n".join(lines) + "\n"


def report_totals() -> str:
    """The inputs of every harness in all runs, as Markdown, also of those that did not run this time."""
    totals = read_totals()
    lines = ["| harness | inputs in all runs |", "|---|---|"]
    lines += [f"| {name} | {totals.get(name, 0):,} |" for name in registry.HARNESSES]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="time for all harnesses together")
    parser.add_argument("--only", nargs="*", choices=registry.HARNESSES, default=list(registry.HARNESSES))
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print(
            "atheris is missing: `python requirements/install.py fuzz`. It has wheels for Linux on x86-64 and "
            "Python 3.11 to 3.13; the tests run the harnesses without it."
        )
        return 2
    CACHE.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for name in options.only:
        outcomes.append(fuzz(name, options.minutes * 60 / len(options.only)))
        print(report(outcomes[-1:]), flush=True)
    text = f"{report(outcomes)}\n{report_totals()}"
    (CACHE / "report.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(each.findings for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
