"""Runs programs that a model wrote, if the user allows it, and prints how many passed their tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import Progress

from starcoder_ls.commands.support.console import stderr
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import sandbox, score


def require_permission(is_running_allowed: bool) -> None:
    """Print a warning if the programs could reach the network.

    Raises SettingsError if the user has not allowed to run them, or if this system cannot limit them.
    """
    if not is_running_allowed:
        raise SettingsError(
            "This runs programs that a model wrote, on this machine. Add --run-untrusted-code if you accept that."
        )
    if sys.platform == "win32":
        raise SettingsError("Running untrusted programs needs limits that Windows does not have. Use Linux or macOS.")
    if warning := network_warning(sandbox.can_isolate_network()):
        stderr.print(warning)


def network_warning(is_isolated: bool) -> str:
    """A warning that the programs can reach the network; empty if they are isolated from it."""
    if is_isolated:
        return ""
    return (
        "The kernel gives no network namespace to this user: the programs can reach the network. Stop here if that is "
        "not acceptable, or run this in a container without a network."
    )


def run_programs(programs: Sequence[str], way: str) -> list[bool]:
    """Whether each program passes its tests; ``way`` says where they are from."""
    with Progress(console=stderr) as bar:
        return [sandbox.passes(program) for program in bar.track(programs, description=f"{way}: running")]


def print_pass_rates(results: Mapping[str, Sequence[bool]], heading: str, is_json: bool) -> None:
    """Print, by way, how many programs passed; ``heading`` is that of the ways."""
    if is_json:
        print(json.dumps({way: {"passed": sum(passed), "problems": len(passed)} for way, passed in results.items()}))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"| {heading} | pass@1, % (95 %) | passed |\n|---|---|---|")
    for way, passed in results.items():
        console.print(f"| {way} | {score.estimate_proportion(passed)} | {sum(passed)} of {len(passed)} |")
