"""The outputs of pip-audit 2.10.1 were recorded: without a connection, and with a service that knew the packages."""

from __future__ import annotations

import json
import subprocess
import sys

import audit
import pytest

NONE_AUDITED = """{"dependencies": [
  {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited: rich (15.0.0)"},
  {"name": "requests", "skip_reason": "Dependency not found on PyPI and could not be audited: requests (2.19.1)"}
], "fixes": []}"""
ALL_AUDITED = """{"dependencies": [
  {"name": "rich", "version": "15.0.0", "vulns": []}, {"name": "requests", "version": "2.34.2", "vulns": []}
], "fixes": []}"""
SOME_AUDITED = """{"dependencies": [
  {"name": "rich", "version": "15.0.0", "vulns": []},
  {"name": "requests", "skip_reason": "Dependency not found on PyPI and could not be audited: requests (2.19.1)"}
], "fixes": []}"""
ONE_VULNERABLE = """{"dependencies": [
  {"name": "rich", "version": "15.0.0", "vulns": []},
  {"name": "requests", "version": "2.19.1", "vulns": [{"id": "PYSEC-2018-28", "fix_versions": ["2.20.0"],
   "aliases": ["CVE-2018-18074"], "description": "s"}]}
], "fixes": []}"""
NAMES = ["rich", "requests"]


@pytest.mark.parametrize("output", [NONE_AUDITED, "", "Traceback: no connection", "[]", '{"dependencies": []}'])
def test_audit_without_any_answer_fails_and_says_so(output: str) -> None:
    exit_code, lines = audit.judge(audit.read_findings(output, NAMES))

    assert exit_code == audit.NOTHING_AUDITED
    assert lines[0].startswith("Audited 0 of 2 packages")
    assert "NOTHING WAS AUDITED" in lines[1]


def test_audit_of_all_packages_without_vulnerability_passes() -> None:
    assert audit.judge(audit.read_findings(ALL_AUDITED, NAMES)) == (
        audit.PASSED,
        ["Audited 2 of 2 packages; vulnerabilities: 0."],
    )
    assert audit.PASSED == 0


def test_audit_of_some_packages_fails_and_names_the_others() -> None:
    exit_code, lines = audit.judge(audit.read_findings(SOME_AUDITED, NAMES))

    assert exit_code == audit.INCOMPLETE
    assert lines[0] == "Audited 1 of 2 packages; vulnerabilities: 0."
    assert lines[1].startswith("not audited: requests (Dependency not found")


def test_package_that_pip_audit_does_not_mention_is_not_audited() -> None:
    findings = audit.read_findings(ALL_AUDITED, [*NAMES, "torch"])

    assert findings.audited == ("rich", "requests")
    assert list(findings.not_audited) == ["torch"]
    assert audit.judge(findings)[0] == audit.INCOMPLETE


def test_vulnerability_fails_with_its_identifier_and_the_fixed_version() -> None:
    exit_code, lines = audit.judge(audit.read_findings(ONE_VULNERABLE, NAMES))

    assert exit_code == audit.VULNERABLE
    assert lines == [
        "Audited 2 of 2 packages; vulnerabilities: 1.",
        "requests 2.19.1: PYSEC-2018-28, fixed in 2.20.0",
    ]


def test_vulnerability_fails_also_if_other_packages_were_not_audited() -> None:
    exit_code, lines = audit.judge(audit.read_findings(ONE_VULNERABLE, [*NAMES, "torch"]))

    assert exit_code == audit.VULNERABLE
    assert lines[-1] == "not audited: torch (pip-audit gave no answer)"


def test_unlocked_packages_are_those_without_their_version_in_a_file() -> None:
    packages = [{"name": "rich", "version": "15.0.0"}, {"name": "torch", "version": "2.13.0+cpu"}]
    text = "rich==15.0.1 \\\n    --hash=sha256:00\ntorch==2.13.0 ; sys_platform == 'linux' \\\n    --hash=sha256:11\n"

    assert audit.unlocked(packages, [text]) == ["rich==15.0.0"]


def test_sbom_keeps_public_references_but_no_local_paths() -> None:
    public = {"type": "website", "url": "https://github.com/Textualize/rich"}
    sbom = {"components": [{"externalReferences": [{"type": "other", "url": "file:///home/me/project"}, public]}]}

    audit.remove_local_paths(sbom)

    assert sbom == {"components": [{"externalReferences": [public]}]}


def test_listing_has_each_package_once_with_a_digest_of_its_record() -> None:
    output = subprocess.run([sys.executable, "-c", audit.LIST_PACKAGES], capture_output=True, text=True, check=True)

    packages = json.loads(output.stdout)

    names = [package["name"] for package in packages]
    assert len(set(names)) == len(names)
    assert {"torch", "pydantic-core"} <= set(names)
    torch = packages[names.index("torch")]
    assert torch["version"].startswith("2.")
    assert len(torch["recordSha256"]) == 64
