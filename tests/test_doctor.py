"""The doctor sees what is there, and says what to do about what is not."""

import io
from importlib import metadata
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from labkit import doctor
from labkit.cli import app
from labkit.doctor import Finding


def by_topic(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.topic: finding for finding in findings}


def test_every_look_has_findings_and_every_bad_one_an_advice() -> None:
    findings = doctor.examine()
    topics = by_topic(findings)
    assert {"machine", "disk", "python", "torch", "papermill", "cpu", "data root", "cifar10", "kernel"} <= set(topics)
    assert all(finding.advice for finding in findings if finding.state != "ok")
    assert "ruff" not in topics  # developers' tools are not needed


def test_show_prints_all_and_the_advice() -> None:
    stream = io.StringIO()
    findings = [Finding("disk", "1 GB [free]", "note", "make room"), Finding("torch", "2.2")]
    doctor.show(findings, Console(file=stream, width=80))
    said = stream.getvalue()
    assert "1 GB [free]" in said and "- disk: make room" in said and "torch: " not in said


def test_old_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["torch>=2.2", "numpy>=1", 'papermill>=2.5; extra == "course"', 'ruff; extra == "dev"', "gone>=1"]
    needs.append('never>=1; python_version < "3"')
    have = {"torch": "2.1.9", "numpy": "2.0"}

    def version(name: str) -> str:
        if name not in have:
            raise metadata.PackageNotFoundError(name)
        return have[name]

    monkeypatch.setattr(metadata, "requires", lambda name: needs)
    monkeypatch.setattr(metadata, "version", version)
    found = by_topic(doctor.packages())
    assert {topic: finding.state for topic, finding in found.items()} == {
        "torch": "old",
        "numpy": "ok",
        "papermill": "note",
        "gone": "missing",
    }
    assert "2.1.9 is older than 2.2" in found["torch"].what and found["torch"].advice.endswith("pip install -U torch")


def test_the_command_names_an_old_version_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    current = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "3.5" if name == "matplotlib" else current(name))
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["doctor"])
    bound = next(line for line in metadata.requires("labkit") or [] if line.startswith("matplotlib>="))
    assert result.exit_code == 1 and f"3.5 is older than {bound.removeprefix('matplotlib>=')}" in result.output
    assert "- matplotlib: " in result.output and "pip install -U matplotlib\n" in result.output


def test_a_kernelspec_that_leads_elsewhere_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.kernel()[0].state == "ok"
    spec = tmp_path / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["/opt/other/bin/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    found = doctor.kernel()[0]
    assert found.state == "note" and "/opt/other/bin/python" in found.what and "ipykernel install" in found.advice


def test_no_labs_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit import LabkitError
    from labkit.course import labs

    def none() -> None:
        raise LabkitError("no labs in here")

    monkeypatch.setattr(labs, "list_labs", none)
    assert doctor.labs()[0].state == "missing"


def test_a_placeholder_address_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit.course import labs

    monkeypatch.setattr(labs, "repository", lambda: "https://git.example.org/a")
    assert doctor.repository()[0].state == "note"
    monkeypatch.setattr(labs, "repository", lambda: "https://github.com/a/b")
    assert doctor.repository()[0] == Finding("repository", "https://github.com/a/b")


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices() -> list[Finding]:
        raise OSError("libcudart is broken")

    monkeypatch.setattr(doctor, "devices", devices)
    found = by_topic(doctor.examine())["devices"]
    assert found.state == "missing" and "libcudart is broken" in found.what
