"""Which Nextflow is taken, and what is said when there is none that serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.errors import MissingTool
from labrelay.workflows.nextflow import runtime


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Hide this machine's own programs: PATH is one empty folder, and there is no checkout."""
    for name in ("NXF_VER", "NXF_JAVA_HOME", "NXF_OPTS", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(runtime, "CHECKOUT", tmp_path / "checkout")
    return folder


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def jars(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in (f"nextflow-{version}.jar", "groovy-4.0.23.jar"):
        (folder / name).touch()
    (folder / ".ready").touch()
    return folder


def test_without_any_the_sentence_says_how_to_get_one() -> None:
    with pytest.raises(MissingTool, match=r"no Nextflow on this machine; install it .* `make nextflow`"):
        runtime.find()


def test_the_one_on_path_tells_its_version_without_being_started(bare_machine: Path) -> None:
    launcher = program(bare_machine / "nextflow", "NXF_VER=${NXF_VER:-'24.04.4'}\necho started; exit 1")
    found = runtime.find()
    assert (found.argv, found.version, found.bundled) == ((str(launcher),), "24.04.4", False)


def test_one_that_does_not_say_it_in_its_text_is_asked(bare_machine: Path) -> None:
    program(bare_machine / "nextflow", "echo; echo '  N E X T F L O W'; echo '  version 25.04.2 build 5947'")
    assert runtime.find().name == "Nextflow 25.04.2"


def test_a_version_that_the_user_chose_is_the_one_that_runs(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare_machine / "nextflow", "NXF_VER=${NXF_VER:-'25.04.4'}")
    monkeypatch.setenv("NXF_VER", "22.10.1")
    with pytest.raises(MissingTool, match=r"22\.10\.1 .* is too old; 23\.10"):
        runtime.find()


def test_the_checkouts_jars_are_run_by_java_17_or_newer(bare_machine: Path) -> None:
    jars(runtime.CHECKOUT, "24.10.8")
    with pytest.raises(MissingTool, match="needs Java 17 or newer, and there is none on PATH"):
        runtime.find()
    java = program(bare_machine / "java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2")
    with pytest.raises(MissingTool, match="is Java 11: set JAVA_HOME"):
        runtime.find()
    java = program(bare_machine.parent / "jdk" / "bin" / "java", "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(java.parent.parent))
        patch.setenv("NXF_OPTS", "-Xms64m -Xmx1g")
        found = runtime.find()
    assert (found.argv[0], found.argv[-1], found.version) == (str(java), "nextflow.cli.Launcher", "24.10.8")
    assert "-Xmx1g" in found.argv
    assert found.bundled
    assert f"{runtime.CHECKOUT}/groovy-4.0.23.jar" in found.argv[-2]
    assert not any("SharedArchiveFile" in word for word in found.argv)


def test_classes_that_java_has_kept_are_used_where_they_are(bare_machine: Path) -> None:
    kept = jars(runtime.CHECKOUT, "24.10.8") / "classes.jsa"
    kept.touch()
    program(bare_machine / "java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    assert f"-XX:SharedArchiveFile={kept}" in runtime.find().argv


def test_a_setting_is_taken_or_refused_but_never_passed_over(bare_machine: Path, tmp_path: Path) -> None:
    program(bare_machine / "nextflow", "NXF_VER=${NXF_VER:-'24.04.4'}")
    own = program(tmp_path / "own" / "nextflow", "NXF_VER=${NXF_VER:-'25.04.1'}")
    assert runtime.find(str(own)).version == "25.04.1"
    with pytest.raises(MissingTool, match="which is no program and no folder of jars"):
        runtime.find(str(tmp_path / "nowhere"))
    with pytest.raises(MissingTool, match="has no jar of Nextflow"):
        runtime.find(str(tmp_path))
