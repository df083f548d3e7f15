from __future__ import annotations

import hashlib
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


def build_wheel(folder: Path) -> Path:
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")
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
