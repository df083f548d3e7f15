from __future__ import annotations

import hashlib
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import install
import pytest


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        (None, False),
        (["filelock", "sympy>=1.13.3"], False),
        (["filelock", "nvidia-cublas==13.1.1.3; platform_system == 'Linux'"], True),
        (["cuda-bindings<14,>=13.0.3; platform_system == 'Linux'"], True),
    ],
)
def test_cuda_packages_are_installed_for_cuda_builds_only(requirements: list[str] | None, expected: bool) -> None:
    assert install.needs_cuda(requirements) is expected


def build_wheel(folder: Path, metadata: str = "", name: str = "tiny", scripts: dict[str, str] | None = None) -> Path:
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        f"{name}.py": "",
        **{f"{name}-1.0.data/scripts/{script}": text for script, text in (scripts or {}).items()},
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            file = zipfile.ZipInfo(path)
            file.external_attr = 0o100755 << 16  # pip keeps the permission to run it
            archive.writestr(file, text)
        information = f"{name}-1.0.dist-info"
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "".join(f"{path},,\n" for path in files))
    return wheel


def install_tiny(folder: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None = None) -> None:
    """Install a wheel with the real pip into ``folder``/target; ``digest`` is by default its own."""
    wheel = build_wheel(folder)
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = folder / "tiny.txt"
    requirements.write_text(f"tiny==1.0 --hash=sha256:{digest}\n", encoding="utf-8")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_TARGET", str(folder / "target"))
    install.install_file(requirements)


def test_package_with_its_recorded_hash_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_tiny(tmp_path, monkeypatch)

    assert (tmp_path / "target" / "tiny.py").is_file()


def test_package_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(install.InstallError, match="pip install failed with exit code 1"):
        install_tiny(tmp_path, monkeypatch, digest="0" * 64)

    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not (tmp_path / "target").exists()


def test_build_of_torch_with_a_locked_hash_is_accepted(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()

    entry = f"torch==2.13.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{digest}\n"

    assert install.require_locked(wheel, entry) == digest


def test_build_of_torch_with_another_hash_is_refused(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)

    with pytest.raises(
        install.InstallError, match=r"tiny-1\.0-py3-none-any\.whl has the hash [0-9a-f]{64}, which is not"
    ):
        install.require_locked(wheel, f"torch==2.13.0 \\\n    --hash=sha256:{'0' * 64}\n")


def test_installed_torch_of_any_build_is_kept() -> None:
    version = metadata.version("torch").partition("+")[0]

    assert install.is_installed("torch", version)
    assert not install.is_installed("torch", f"{version}.1")
    assert not install.is_installed("no-such-package", version)
    install.install_torch(f"torch=={version} \\\n    --hash=sha256:{'0' * 64}\n")


CPU_ENTRY = f"torch==2.0 \\\n    --hash=sha256:{'0' * 64}\n"


class Machine:
    """Records which build of PyTorch is installed on a machine where pip chooses the build ``chosen``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chosen: list[str], has_gpu: bool, is_reachable: bool = True):
        self.installed: list[str] = []
        self._is_reachable = is_reachable
        monkeypatch.setattr(install, "is_installed", lambda *_: False)
        monkeypatch.setattr(install, "has_gpu", lambda: has_gpu)
        monkeypatch.setattr(install, "requirements_chosen_by_pip", lambda _: chosen)
        monkeypatch.setattr(install, "install_chosen_torch", lambda *_: self.installed.append("chosen by pip"))
        monkeypatch.setattr(install, "install_cpu_torch", self._install_cpu_torch)

    def _install_cpu_torch(self, *_: str) -> None:
        if not self._is_reachable:
            raise install.InstallError("uv failed with exit code 2.")
        self.installed.append("CPU build")


CUDA_BUILD, OTHER_BUILD = ["nvidia-cublas==13"], ["sympy"]


@pytest.mark.parametrize(
    ("chosen", "has_gpu", "expected"),
    [
        (CUDA_BUILD, False, "CPU build"),
        (CUDA_BUILD, True, "chosen by pip"),
        (OTHER_BUILD, False, "chosen by pip"),
        (OTHER_BUILD, True, "chosen by pip"),
    ],
)
def test_cpu_build_replaces_a_cuda_build_without_gpu(
    monkeypatch: pytest.MonkeyPatch, chosen: list[str], has_gpu: bool, expected: str
) -> None:
    machine = Machine(monkeypatch, chosen, has_gpu)

    install.install_torch(CPU_ENTRY)

    assert machine.installed == [expected]


def test_missing_cpu_build_is_an_error_and_no_cuda_build_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, CUDA_BUILD, has_gpu=False, is_reachable=False)

    with pytest.raises(
        install.InstallError, match=r"uv failed with exit code 2\. pip would take the build for CUDA"
    ) as error:
        install.install_torch(CPU_ENTRY)

    assert f"Install torch 2.0 with `{sys.executable} -m pip`" in str(error.value)
    assert machine.installed == []


def test_failure_of_the_program_uv_is_an_error_and_names_the_cpu_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package has other programs too, such as uvx, which takes these arguments for those of a tool."""
    refusal = f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit 2\n'
    wheel = build_wheel(tmp_path, name="uv", scripts={"uvx": "#!/bin/sh\n", "uv": refusal, "uvw": "#!/bin/sh\n"})
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(install, "TOOLS_FILE", tmp_path / "tools.txt")
    install.TOOLS_FILE.write_text(f"uv==1.0 \\\n    --hash=sha256:{digest}\n", encoding="utf-8")

    with pytest.raises(install.InstallError, match="uv failed with exit code 2"):
        install.install_cpu_torch("2.0", CPU_ENTRY)

    arguments = (tmp_path / "arguments").read_text(encoding="utf-8")
    assert arguments.startswith(f"pip install --quiet --python {sys.executable} --torch-backend cpu --require-hashes")


@pytest.mark.parametrize(
    ("version", "expected"), [("23.0.1", [("pip", "--upgrade")]), ("23.2", []), ("26.3", []), ("24.1b1", [])]
)
def test_pip_that_reads_no_metadata_is_replaced_before_it_chooses(
    monkeypatch: pytest.MonkeyPatch, version: str, expected: list[tuple[str, ...]]
) -> None:
    installed: list[tuple[str, ...]] = []
    monkeypatch.setattr(install.metadata, "version", lambda _: version)
    monkeypatch.setattr(install, "install_tool", lambda *arguments: installed.append(arguments))
    monkeypatch.setattr(install, "PIP", (sys.executable, "-c", 'print(\'{"install": [{"metadata": {}}]}\')'))

    assert install.requirements_chosen_by_pip("tiny==1.0") == []

    assert installed == expected


def test_driver_file_means_that_there_is_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.shutil, "which", lambda _: None)
    monkeypatch.setattr(install, "GPU_FILES", [str(tmp_path / "nvidiactl")])
    assert not install.has_gpu()

    (tmp_path / "nvidiactl").touch()

    assert install.has_gpu()


def test_metadata_of_the_build_that_pip_chooses_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_wheel(tmp_path, "Requires-Dist: nvidia-cublas==13")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    assert install.needs_cuda(install.requirements_chosen_by_pip("tiny==1.0"))


@pytest.mark.parametrize("name", ["uv", "pip"])
def test_entry_of_a_tool_is_taken_with_its_hashes(name: str) -> None:
    entry = install.entry_of(name, install.TOOLS_FILE.read_text(encoding="utf-8"))

    assert entry.startswith(f"{name}==")
    assert entry.count("==") == 1
    assert entry.count("--hash=sha256:") > 1
