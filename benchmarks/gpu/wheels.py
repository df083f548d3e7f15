"""Wheels of the packages that the Python of a GPU machine may lack, for machines without a network.

    python benchmarks/gpu/wheels.py                     # into .cache/gpu-wheels, for Python 3.12 on Linux
    python benchmarks/gpu/wheels.py --unpack            # prints a folder for PYTHONPATH

torch, transformers, peft and the libraries they need must be there. `run.py` uses the wheels by itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK, WHEELS, UNPACKED = ROOT / "requirements" / "dev.txt", ROOT / ".cache" / "gpu-wheels", ROOT / ".cache" / "gpu-site"
PACKAGES = {
    "annotated-types": "annotated_types",
    "platformdirs": "platformdirs",
    "pydantic": "pydantic",
    "pydantic-core": "pydantic_core",
    "typing-inspection": "typing_inspection",
    "torchao": "torchao",  # quantizes to 4 bits; the kernels are torch's own
}
"""Names of packages in requirements/dev.txt, and of their modules."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def locked_requirements() -> list[str]:
    """The entry of each package in requirements/dev.txt: its version and the hashes of its wheels."""
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.partition("==")[0] in PACKAGES]


def download(folder: Path, python_version: str) -> None:
    """Download the wheels into ``folder``. Raises subprocess.CalledProcessError if pip fails."""
    folder.mkdir(parents=True, exist_ok=True)
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(locked_requirements()), encoding="utf-8")
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    options = ["--python-version", python_version, "--implementation", "cp", *platforms, "--dest", str(folder)]
    subprocess.run([*command, *options, "--require-hashes", "--requirement", str(requirements)], check=True)


def unpack(wheels: Path = WHEELS, folder: Path = UNPACKED) -> Path:
    """Unpack those wheels whose modules are missing in this Python; the folder that has them then."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, module in PACKAGES.items():
        name = package.replace("-", "_")
        found = sorted(wheels.glob(f"{name}-*.whl"))
        if found and importlib.util.find_spec(module) is None and not (folder / module).exists():
            with zipfile.ZipFile(found[-1]) as wheel:
                wheel.extractall(folder)
    return folder


def add_missing() -> None:
    """Make this project and the missing packages importable; what is installed comes first."""
    if importlib.util.find_spec("starcoder_ls") is None:
        sys.path.append(str(ROOT / "server"))
    sys.path.append(str(unpack()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-version", default="3.12", help="of the GPU machine")
    parser.add_argument("--unpack", action="store_true")
    options = parser.parse_args()
    if options.unpack:
        print(unpack())
    else:
        download(WHEELS, options.python_version)
        print(f"{WHEELS.relative_to(ROOT)}: {sum(1 for _ in WHEELS.glob('*.whl'))} wheels")


if __name__ == "__main__":
    main()
