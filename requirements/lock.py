"""Writes the requirements files with exact versions and hashes: `make lock`.

One file for each set of packages that is installed together. Versions of the existing files are kept while
pyproject.toml admits them; options are passed to `uv pip compile`, for example `--upgrade-package rich`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
TORCH_BUILDS = FOLDER / "torch-builds.sha256"

MAIN, TORCH, CUDA = "dev", "torch", "cuda"
"""What runs and tests the server is in three files: PyTorch, what its CUDA builds need, and the rest."""
RUN = "run"
"""The part of MAIN that runs the server, without quantization and without the tools of developers."""

HEADER = "# Written by `make lock` from pyproject.toml. Install it with requirements/install.py.\n"
OLDEST_PYTHON = "3.11"

_CUDA_NAMES = re.compile(r"nvidia-|cuda-|triton\b")
_TORCH = re.compile(r"torch==([^\s;]+)")
_CHECKSUM = re.compile(r"([0-9a-f]{64})  torch-([^-+]+)(?:\+[^-]*)?-.*\.whl")


def sets_of(pyproject: Mapping[str, Any]) -> dict[str, list[str]]:
    """The requirements of each set: MAIN, RUN, and each extra that MAIN does not contain.

    The build system belongs to MAIN and RUN, because the project is installed without an environment for its build.
    """
    project, extras = pyproject["project"], dict(pyproject["project"]["optional-dependencies"])
    run = [*project["dependencies"], *pyproject["build-system"]["requires"]]
    pending, main = [*run, *extras.pop(MAIN)], []
    while pending:
        text = pending.pop(0)
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) == canonicalize_name(project["name"]):
            for extra in sorted(requirement.extras):
                pending += extras.pop(extra, [])
        else:
            main.append(text)
    return {MAIN: main, RUN: run, **extras}


def split_entries(text: str) -> list[str]:
    """The entries of a requirements file, each with the lines of its hashes."""
    return re.findall(r"^[A-Za-z0-9].*\n(?:[ ].*\n)*", text, re.MULTILINE)


def split_torch(entries: Sequence[str]) -> dict[str, list[str]]:
    """The entries of each of the files MAIN, TORCH and CUDA."""
    files: dict[str, list[str]] = {MAIN: [], TORCH: [], CUDA: []}
    for entry in entries:
        name = TORCH if _TORCH.match(entry) else CUDA if _CUDA_NAMES.match(entry) else MAIN
        files[name].append(entry)
    return files


def add_torch_builds(entry: str, checksums: str) -> str:
    """Add to PyTorch's entry the hashes of the builds of its version that the package index does not have.

    ``checksums`` has the format of ``sha256sum``. Raises ValueError if ``entry`` is not PyTorch's.
    """
    if not (match := _TORCH.match(entry)):
        raise ValueError(f"not an entry of torch: {entry}")
    builds = _CHECKSUM.findall(checksums)
    new = sorted(digest for digest, version in builds if version == match[1] and digest not in entry)
    return entry.rstrip("\n") + "".join(f" \\\n    --hash=sha256:{digest}" for digest in new) + "\n"


def read_versions(name: str) -> str:
    """The requirements file of a set without its hashes, which uv would take over unseen; "" if there is none."""
    file = FOLDER / f"{name}.txt"
    entries = split_entries(file.read_text(encoding="utf-8")) if file.is_file() else []
    return "".join(entry.split(" \\\n")[0].rstrip() + "\n" for entry in entries)


def write(name: str, entries: Sequence[str]) -> None:
    (FOLDER / f"{name}.txt").write_text(HEADER + "".join(entries), encoding="utf-8")
    print(f"requirements/{name}.txt: {len(entries)} packages")


def resolve(
    requirements: Sequence[str], previous: str, constraints: Sequence[Path], options: Sequence[str]
) -> list[str]:
    """The entries for ``requirements`` and all that they need, for all platforms. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.txt"
        output.write_text(previous, encoding="utf-8")
        command = [
            str(Path(sys.executable).with_name("uv")), "pip", "compile", "-", "--quiet", "--universal",
            "--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-header", "--no-annotate",
            "--output-file", str(output),
        ]  # fmt: skip
        command += [f"--constraint={file}" for file in constraints]
        subprocess.run([*command, *options], input="\n".join(requirements), text=True, check=True, stdout=sys.stderr)
        return split_entries(output.read_text(encoding="utf-8"))


def main(options: Sequence[str]) -> None:
    sets = sets_of(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    previous = "".join(map(read_versions, (MAIN, TORCH, CUDA)))
    files = split_torch(resolve(sets.pop(MAIN), previous, [], options))
    checksums = TORCH_BUILDS.read_text(encoding="utf-8")
    files[TORCH] = [add_torch_builds(entry, checksums) for entry in files[TORCH]]
    for name, entries in files.items():
        write(name, entries)
    locked = [FOLDER / f"{name}.txt" for name in (MAIN, TORCH, CUDA)]
    run = split_torch(resolve(sets.pop(RUN), previous, locked, options))
    write(RUN, run[MAIN])
    for name, requirements in sets.items():
        write(name, resolve(requirements, read_versions(name), [FOLDER / f"{MAIN}.txt"], options))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"uv could not resolve the requirements (exit code {error.returncode}); the rest is unchanged.")
