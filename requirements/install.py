"""Installs sets of packages with verified hashes: `requirements/install.py SET...`, run by the Python of the target.

Only wheels are installed: building a package would fetch its build requirements without hashes. The set `dev` also
installs PyTorch, and the project itself with the build system that the set contains.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
WHEELS = ("--only-binary=:all:", "--no-deps")
"""The files are complete, so pip needs to resolve nothing."""
VERIFIED = ("install", "--quiet", "--require-hashes", *WHEELS)
EDITABLE = ("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable")


class InstallError(Exception):
    """A package was not installed."""


def install(sets: Sequence[str]) -> None:
    """Raises InstallError if a package cannot be downloaded, or is not the one that was locked."""
    for name in sets:
        install_file(FOLDER / f"{name}.txt")
    if "dev" in sets:
        install_torch((FOLDER / "torch.txt").read_text(encoding="utf-8"))
        if needs_cuda(metadata.requires("torch")):
            install_file(FOLDER / "cuda.txt")
        _run_pip(*EDITABLE, str(ROOT))
    _run_pip("check")  # not quiet: it would not say what is missing


def install_file(requirements: Path) -> None:
    """Raises InstallError if pip refuses a package; nothing of the file is installed then."""
    _run_pip(*VERIFIED, "--requirement", str(requirements))


def install_torch(entry: str) -> None:
    """Install the build of PyTorch that pip chooses here, if its hash is in ``entry``; keep an installed one.

    With --require-hashes, pip would prefer a file whose hash the package index states, which is the CUDA build on
    Linux, to a CPU build in a local folder. So pip first chooses and downloads without hashes. Raises InstallError.
    """
    version = re.findall(r"^torch==([^\s;]+)", entry, re.MULTILINE)[0]
    if is_installed("torch", version):
        return
    with tempfile.TemporaryDirectory() as folder:
        _run_pip("download", "--quiet", *WHEELS, "--dest", folder, f"torch=={version}")
        wheel = next(Path(folder).glob("torch-*.whl"))
        digest = require_locked(wheel, entry)
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(f"torch=={version} --hash=sha256:{digest}\n", encoding="utf-8")
        _run_pip("--isolated", *VERIFIED, "--no-index", "--find-links", folder, "--requirement", str(requirement))


def is_installed(name: str, version: str) -> bool:
    """Whether any build (2.13.0, 2.13.0+cpu) of that version is installed."""
    try:
        return metadata.version(name).partition("+")[0] == version
    except metadata.PackageNotFoundError:
        return False


def require_locked(wheel: Path, entry: str) -> str:
    """The SHA-256 of ``wheel``. Raises InstallError if it is not in the ``entry`` of a requirements file."""
    with wheel.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if f"--hash=sha256:{digest}" not in entry.split():
        raise InstallError(
            f"{wheel.name} has the hash {digest}, which is not locked. If you trust this build, add it to "
            "requirements/torch-builds.sha256 and run `make lock`."
        )
    return digest


def needs_cuda(torch_requirements: Sequence[str] | None) -> bool:
    """Whether the installed build of PyTorch is one for CUDA: such a build requires packages of NVIDIA."""
    return any(name.startswith(("nvidia-", "cuda-")) for name in torch_requirements or ())


def _run_pip(*arguments: str) -> None:
    """Raises InstallError; pip itself says why."""
    if code := subprocess.run([*PIP, *arguments], check=False).returncode:
        command = next(word for word in arguments if not word.startswith("-"))
        raise InstallError(f"pip {command} failed with exit code {code}.")


if __name__ == "__main__":
    try:
        install(sys.argv[1:] or ["dev"])
    except InstallError as error:
        sys.exit(str(error))
