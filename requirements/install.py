"""Installs sets of packages with verified hashes: `requirements/install.py SET...`, run by the Python of the target.

Only wheels are installed: building a package would fetch its build requirements without hashes. The sets `run` and
`dev` also install PyTorch, and the project itself with the build system that they contain.

Linux machines without a GPU get PyTorch's CPU build, which is not on the package index: uv knows where it is. If that
fails, nothing is installed in its place: a CUDA build is only installed where there is a GPU, or by the user.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
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
SETS_WITH_PROJECT = {"run", "dev"}
TOOLS_FILE = FOLDER / "audit.txt"
"""The requirements file that has uv and pip."""
METADATA_PIP = (23, 2)
"""Older versions of pip download a whole file to learn what it requires (PEP 714)."""

GPU_FILES = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
"""Of the driver on Linux; the last one is that of the Windows Subsystem for Linux."""


class InstallError(Exception):
    """A package was not installed."""


def install(sets: Sequence[str]) -> None:
    """Raises InstallError if a package cannot be downloaded, or is not the one that was locked."""
    for name in sets:
        install_file(FOLDER / f"{name}.txt")
    if SETS_WITH_PROJECT & set(sets):
        install_torch((FOLDER / "torch.txt").read_text(encoding="utf-8"))
        if needs_cuda(metadata.requires("torch")):
            install_file(FOLDER / "cuda.txt")
        _run_pip(*EDITABLE, str(ROOT))
    _run_pip("check")  # not quiet: it would not say what is missing


def install_file(requirements: Path) -> None:
    """Raises InstallError if pip refuses a package; nothing of the file is installed then."""
    _run_pip(*VERIFIED, "--requirement", str(requirements))


def install_torch(entry: str) -> None:
    """Install a build of PyTorch whose hash is in ``entry``; keep an installed one. Raises InstallError.

    It is the build that pip chooses here, or the CPU build if that one is for CUDA and the machine has no GPU.
    """
    version = re.findall(r"^torch==([^\s;]+)", entry, re.MULTILINE)[0]
    if is_installed("torch", version):
        return
    if not has_gpu() and needs_cuda(requirements_chosen_by_pip(f"torch=={version}")):
        try:
            install_cpu_torch(version, entry)
        except InstallError as error:
            raise InstallError(
                f"PyTorch's CPU build was not installed: {error} pip would take the build for CUDA, gigabytes that a "
                f"machine without a GPU cannot use. Install torch {version} with `{sys.executable} -m pip` as "
                "https://pytorch.org/get-started/locally/ says, then run this command again: it keeps that build."
            ) from error
        return
    install_chosen_torch(version, entry)


def install_chosen_torch(version: str, entry: str) -> None:
    """Install the build that pip chooses. Raises InstallError.

    With --require-hashes, pip would prefer a file whose hash the package index states, which is the CUDA build on
    Linux, to a CPU build in a local folder. So pip first chooses and downloads without hashes.
    """
    with tempfile.TemporaryDirectory() as folder:
        _run_pip("download", "--quiet", *WHEELS, "--dest", folder, f"torch=={version}")
        wheel = next(Path(folder).glob("torch-*.whl"))
        digest = require_locked(wheel, entry)
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(f"torch=={version} --hash=sha256:{digest}\n", encoding="utf-8")
        _run_pip("--isolated", *VERIFIED, "--no-index", "--find-links", folder, "--requirement", str(requirement))


def install_cpu_torch(version: str, entry: str) -> None:
    """Install the CPU build from PyTorch's own index. Raises InstallError, also if that cannot be reached."""
    with tempfile.TemporaryDirectory() as folder:
        install_tool("uv", "--target", folder)
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(entry.replace(f"torch=={version}", f"torch=={version}+cpu", 1), encoding="utf-8")
        command = [
            str(Path(folder) / "bin" / "uv"), "pip", "install", "--quiet", "--python", sys.executable,
            "--torch-backend", "cpu", "--require-hashes", "--no-deps", "--only-binary", ":all:",
            "--requirement", str(requirement),
        ]  # fmt: skip
        if code := subprocess.run(command, check=False).returncode:
            raise InstallError(f"uv failed with exit code {code}.")


def install_tool(name: str, *options: str) -> None:
    """Install the locked version of a tool with further options of pip. Raises InstallError."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "tool.txt"
        requirement.write_text(entry_of(name, TOOLS_FILE.read_text(encoding="utf-8")), encoding="utf-8")
        _run_pip(*VERIFIED, *options, "--requirement", str(requirement))


def requirements_chosen_by_pip(requirement: str) -> list[str]:
    """What the file that pip would install for ``requirement`` requires itself; nothing is downloaded but metadata,
    if the package index offers it.

    Raises InstallError.
    """
    if tuple(map(int, re.findall(r"\d+", metadata.version("pip"))[:2])) < METADATA_PIP:
        install_tool("pip", "--upgrade")
    command = [*PIP, "install", "--quiet", "--dry-run", "--ignore-installed", *WHEELS, "--report", "-", requirement]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise InstallError(f"pip finds no {requirement} (exit code {result.returncode}).")
    chosen = json.loads(result.stdout)["install"][0]["metadata"]
    return list(chosen.get("requires_dist", ()))


def entry_of(name: str, requirements: str) -> str:
    """The entry of a package in the text of a requirements file, with the lines of its hashes."""
    match = re.search(rf"^{re.escape(name)}==.*\n(?:[ ].*\n)*", requirements, re.MULTILINE)
    if match is None:
        raise InstallError(f"{name} is not locked. Run `make lock`.")
    return match[0]


def has_gpu() -> bool:
    """Whether this machine may have a GPU that a CUDA build can use. False does not concern other systems than Linux,
    where pip chooses no CUDA build."""
    return shutil.which("nvidia-smi") is not None or any(Path(file).exists() for file in GPU_FILES)


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
