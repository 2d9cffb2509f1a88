"""Adding workflows of others: from folders, zips and Git repositories."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from labrelay.model.errors import Conflict, LabrelayError, MissingTool, NotFound, RefusedInput, UsageError
from labrelay.workflows.definition import Definition
from labrelay.workflows.registry import Registry
from labrelay.workflows.sources import opened

MAIN = "process A {\n publishDir params.outdir\n script: 'tool.sh'\n}\nworkflow { A() }\n"


@pytest.fixture
def home(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "home")


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """A bare pipeline with a program of its own, a hidden file and a link."""
    folder = tmp_path / "hello"
    (folder / "bin").mkdir(parents=True)
    (folder / "main.nf").write_text(MAIN)
    (folder / "bin" / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "bin" / "tool.sh").chmod(0o775)
    (folder / ".github").mkdir()
    (folder / ".github" / "x.yml").write_text("")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def add(home: Registry, what: object, *profile: str, config: tuple[Path, ...] = ()) -> Definition:
    with opened(str(what)) as source:
        return home.add(source, profile, config)[0]


def files(definition: Definition) -> list[str]:
    return sorted(str(p.relative_to(definition.folder)) for p in definition.folder.rglob("*") if p.is_file())


def test_a_bare_pipeline_is_copied_with_its_programs_and_without_what_is_hidden(home: Registry, hello: Path) -> None:
    definition = add(home, hello)
    assert (definition.name, definition.language, definition.version) == ("hello", "NEXTFLOW", "0")
    assert files(definition) == ["bin/tool.sh", "definition.toml", "main.nf"]
    assert (definition.folder / "bin/tool.sh").stat().st_mode & 0o111
    assert add(home, hello) == definition
    (hello / "main.nf").write_text(MAIN + "// other\n")
    with pytest.raises(Conflict):
        add(home, hello)


def test_a_profile_and_configuration_change_the_identity(home: Registry, hello: Path, tmp_path: Path) -> None:
    plain = home.bundle(add(home, hello))[0].digest
    shutil.rmtree(home.get("hello").folder)
    config = tmp_path / "my lab.config"
    config.write_text("process.executor = 'slurm'\n")
    definition = add(home, hello, "test", "slurm", config=(config,))
    assert definition.nextflow.profile == ("test", "slurm")
    (name,) = definition.nextflow.config
    assert (definition.folder / name).read_text() == config.read_text()
    assert home.bundle(definition)[0].digest != plain
    with pytest.raises(Conflict):
        add(home, hello, "test")


def test_options_that_do_not_fit_are_refused_and_nothing_is_copied(home: Registry, hello: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        add(home, hello, config=(tmp_path / "gone.config",))
    with pytest.raises(UsageError, match="no name of a profile"):
        add(home, hello, "-with-docker x")
    (hello / "definition.toml").write_text('name = "h"\nversion = "1"\ntitle = "T"\n[nextflow]\nprofile = ["a"]\n')
    with pytest.raises(UsageError, match="already"):
        add(home, hello, "b")
    wdl = tmp_path / "wdl"
    wdl.mkdir()
    (wdl / "main.wdl").write_text(
        "version 1.1\nworkflow w { call t output { File o = t.o } }\n"
        'task t { command <<< touch x >>> output { File o = "x" } }\n'
    )
    with pytest.raises(UsageError, match="for Nextflow"):
        add(home, wdl, "b")
    assert list((tmp_path / "home" / "definitions").iterdir()) == []


@pytest.mark.parametrize("top", ["", "hello-1.0/"])
def test_a_zip_is_added_with_or_without_a_folder_around(home: Registry, hello: Path, tmp_path: Path, top: str) -> None:
    with zipfile.ZipFile(tmp_path / "hello-1.0.zip", "w") as archive:
        archive.writestr(f"{top}main.nf", MAIN)
        program = zipfile.ZipInfo(f"{top}bin/tool.sh")
        program.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(program, "#!/bin/sh\n")
    definition = add(home, tmp_path / "hello-1.0.zip")
    assert definition.name == "hello_1_0"
    assert files(definition) == ["bin/tool.sh", "definition.toml", "main.nf"]
    assert (definition.folder / "bin/tool.sh").stat().st_mode & 0o111


def test_a_hostile_zip_is_refused(home: Registry, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../main.nf", MAIN)
    with pytest.raises(RefusedInput, match="BUNDLE_UNSAFE_NAME"):
        add(home, tmp_path / "bad.zip")
    assert not (tmp_path / "main.nf").exists()


@pytest.fixture
def github(tmp_path: Path, hello: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `https://github.com/` a folder of this machine, with `nf-core/hello` at the tag 1.2.0."""
    where = tmp_path / "github"
    repository = where / "nf-core" / "hello"
    shutil.copytree(hello, repository, symlinks=True)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for arguments in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"], ["tag", "1.2.0"]):
        subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{where}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    return where


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("what", ["nf-core/hello@1.2.0", "https://github.com/nf-core/hello@1.2.0"])
def test_a_tag_of_a_repository_is_added_with_its_commit(home: Registry, github: Path, what: str) -> None:
    definition = add(home, what, "test")
    head = ["git", "-C", str(github / "nf-core" / "hello"), "rev-parse", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    assert (definition.name, definition.version) == ("hello", "1.2.0")
    assert definition.description == f"nf-core/hello at 1.2.0, commit {commit}."
    assert definition.nextflow.profile == ("test",)
    assert files(definition) == ["bin/tool.sh", "definition.toml", "main.nf"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_tag_that_is_not_there_is_told(home: Registry, github: Path) -> None:
    with pytest.raises(NotFound, match="no tag 9"):
        add(home, "nf-core/hello@9")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_without_a_network_there_is_one_sentence(home: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "url.http://127.0.0.1:9/.insteadOf")  # the discard port: nobody listens
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    with pytest.raises(UsageError, match="needs a network") as caught:
        add(home, "nf-core/hello@1.2.0")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "what",
    [
        "nf-core/hello",
        "nf-core/hello@--upload-pack=x",
        "nf-core/../x@1",
        "https://evil.example/a/b@1",
        "ext::sh -c true@1",
        "gone",
    ],
)
def test_what_is_no_source_is_refused_before_git_is_asked(
    monkeypatch: pytest.MonkeyPatch, home: Registry, what: str
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: pytest.fail("git was asked"))
    with pytest.raises(UsageError, match="no folder"):
        add(home, what)


def test_without_git_it_says_what_to_do(home: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(MissingTool, match="install git") as caught:
        add(home, "nf-core/hello@1.2.0")
    assert isinstance(caught.value, LabrelayError)
