"""Audits installed packages for known vulnerabilities and writes an SBOM: `make audit`, or `audit.py PYTHON`.

pip-audit succeeds when it could audit nothing, for example without a connection. Here only a package that the
vulnerability service answered for counts as audited, and an audit that misses a package fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "audit"
PROJECT = "starcoder-ls"

PASSED, VULNERABLE, NOTHING_AUDITED, INCOMPLETE = range(4)
"""Exit codes."""

LIST_PACKAGES = r"""
import hashlib, json, re
from importlib import metadata

def digest(distribution):
    # of the files that came with the wheel: the installer adds scripts, compiled modules and notes of its own
    added = re.compile(r"\.\./|.*\.dist-info/(INSTALLER|REQUESTED|RECORD|direct_url\.json),|[^,]*,,")
    lines = [line for line in (distribution.read_text("RECORD") or "").splitlines() if not added.match(line)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() if lines else None

packages = {}
for found in metadata.distributions():
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    packages.setdefault(name, {"name": name, "version": found.version, "recordSha256": digest(found)})
print(json.dumps(sorted(packages.values(), key=lambda package: package["name"])))
"""


@dataclass(frozen=True)
class Vulnerability:
    name: str
    version: str
    identifier: str
    fixed_in: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What an audit found out about each package."""

    audited: tuple[str, ...]
    not_audited: Mapping[str, str]
    """Package -> reason."""
    vulnerabilities: tuple[Vulnerability, ...]


def read_findings(output: str, names: Iterable[str]) -> Findings:
    """What pip-audit's JSON ``output`` says about the packages ``names``.

    A package that it does not mention was not audited; none was if the output is not JSON.
    """
    try:
        answers = {answer["name"]: answer for answer in json.loads(output)["dependencies"]}
    except (ValueError, KeyError, TypeError):
        answers = {}
    audited, not_audited, vulnerabilities = [], {}, []
    for name in names:
        answer = answers.get(name, {"skip_reason": "pip-audit gave no answer"})
        if "skip_reason" in answer:
            not_audited[name] = answer["skip_reason"]
            continue
        audited.append(name)
        vulnerabilities += [
            Vulnerability(name, answer["version"], found["id"], tuple(found["fix_versions"]))
            for found in answer["vulns"]
        ]
    return Findings(tuple(audited), not_audited, tuple(vulnerabilities))


def judge(findings: Findings) -> tuple[int, list[str]]:
    """The exit code and the lines to print."""
    total = len(findings.audited) + len(findings.not_audited)
    lines = [f"Audited {len(findings.audited)} of {total} packages; vulnerabilities: {len(findings.vulnerabilities)}."]
    for found in findings.vulnerabilities:
        fix = f"fixed in {', '.join(found.fixed_in)}" if found.fixed_in else "no fixed version"
        lines.append(f"{found.name} {found.version}: {found.identifier}, {fix}")
    if not findings.audited:
        lines.append(
            "NOTHING WAS AUDITED: the vulnerability service could not be reached or knows none of the packages. "
            f"Repeat this with a connection. Reason for the first package: {_first_reason(findings)}"
        )
        return NOTHING_AUDITED, lines
    lines += [f"not audited: {name} ({reason})" for name, reason in findings.not_audited.items()]
    if findings.vulnerabilities:
        return VULNERABLE, lines
    if findings.not_audited:
        lines.append("The audit is incomplete: its result says nothing about the packages that were not audited.")
        return INCOMPLETE, lines
    return PASSED, lines


def public_version(version: str) -> str:
    """``version`` without the label of a build (2.13.0+cpu), by which vulnerability services know no release."""
    return version.partition("+")[0]


def unlocked(packages: Iterable[Mapping[str, str]], requirements: Iterable[str]) -> list[str]:
    """The packages that none of the texts of requirements files has in that version, as NAME==VERSION."""
    pins = {pin for text in requirements for pin in re.findall(r"^[\w.-]+==[^\s;]+", text, re.MULTILINE)}
    installed = [f"{package['name']}=={public_version(package['version'])}" for package in packages]
    return [pin for pin in installed if pin not in pins]


def remove_local_paths(sbom: dict[str, Any]) -> None:
    """Remove references to folders of this machine, such as that of the project installed as editable."""
    for component in sbom.get("components", []):
        references = component.get("externalReferences", [])
        component["externalReferences"] = [entry for entry in references if not entry["url"].startswith("file:")]


def _first_reason(findings: Findings) -> str:
    return next(iter(findings.not_audited.values()), "there are no packages")


def _list_packages(python: str) -> list[dict[str, str]]:
    listing = subprocess.run([python, "-c", LIST_PACKAGES], check=True, capture_output=True, text=True).stdout
    return [package for package in json.loads(listing) if package["name"] != PROJECT]


def _run_pip_audit(packages: Sequence[Mapping[str, str]]) -> str:
    """pip-audit's output; "" if it failed before it had a result."""
    requirements = OUTPUT / "packages.txt"
    lines = [f"{package['name']}=={public_version(package['version'])}\n" for package in packages]
    requirements.write_text("".join(lines), encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("pip-audit")), "--requirement", str(requirements), "--no-deps",
        "--disable-pip", "--format", "json", "--progress-spinner", "off",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not result.stdout:
        print("\n".join(result.stderr.splitlines()[-1:]))
    return result.stdout


def _write_sbom(python: str) -> int:
    """Write a CycloneDX SBOM of the environment of ``python`` and return the number of its components."""
    file = OUTPUT / "sbom.json"
    command = [
        str(Path(sys.executable).with_name("cyclonedx-py")), "environment", "--pyproject", str(ROOT / "pyproject.toml"),
        "--mc-type", "application", "--output-reproducible", "--output-format", "JSON", "--output-file", str(file),
        python,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    sbom = json.loads(file.read_text(encoding="utf-8"))
    remove_local_paths(sbom)
    file.write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")
    return len(sbom["components"])


def main(python: str) -> int:
    """Write packages.txt, sbom.json and audit.json into build/audit and return the exit code."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    packages = _list_packages(python)
    print(f"SBOM (CycloneDX) of {_write_sbom(python)} components: build/audit/sbom.json")
    findings = read_findings(_run_pip_audit(packages), [package["name"] for package in packages])
    exit_code, lines = judge(findings)
    files = [file.read_text(encoding="utf-8") for file in (ROOT / "requirements").glob("*.txt")]
    if not_locked := unlocked(packages, files):
        lines.append(f"installed, but in no requirements file: {', '.join(not_locked)}")
    report = {
        "audited": len(findings.audited),
        "installed": len(packages),
        "vulnerabilities": [vars(found) for found in findings.vulnerabilities],
        "notAudited": dict(findings.not_audited),
        "notLocked": not_locked,
        "packages": packages,
    }
    (OUTPUT / "audit.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
