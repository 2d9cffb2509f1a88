"""`import labrelay` is free, typed, and its examples are true."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import TinyLab

import labrelay
from labrelay.model.errors import NotFound, UsageError

ORDER = (
    *("announce", "ingest", "process", "collect", "submit", "runs", "results", "search", "lineage"),
    *("read_sets", "read_uris", "upload_reads", "reprocess_plan", "stale", "reprocess", "trends"),
    *("lineage_page", "explain"),
)
HEAVY = {"pydantic", "numpy", "pysam", "Bio", "WDL", "sqlalchemy", "prefect", "rich", "rocrate", "httpx", "click"}


def test_importing_labrelay_imports_nothing_heavy_and_a_function_what_it_needs() -> None:
    program = (
        "import sys, labrelay\n"
        "print(*sorted(m.partition('.')[0] for m in sys.modules))\n"
        "labrelay.process\n"
        "print(*sorted(m.partition('.')[0] for m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = (set(line.split()) for line in done.stdout.splitlines())
    assert not before & HEAVY
    assert {"pydantic", "sqlalchemy"} <= after
    assert "prefect" not in after


def test_the_examples_of_the_face_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = TinyLab(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABRELAY_HOME", str(lab.home))
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    for name in ORDER:
        (example,) = finder.find(getattr(labrelay, name), name, globs={"labrelay": labrelay, "folder": lab.run})
        assert example.examples, f"{name} has no example"
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


def test_every_public_name_is_a_typed_function_of_the_face() -> None:
    assert set(ORDER) == set(labrelay.__all__) <= set(dir(labrelay))
    for name in labrelay.__all__:
        function = getattr(labrelay, name)
        signature = inspect.signature(function)
        assert signature.parameters["home"].default is None
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_a_type_checker_sees_the_face(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import labrelay\nreveal_type(labrelay.results)\nlabrelay.process(7)\n")
    argv = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", str(script)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(labrelay.__file__).parents[1])
    assert "list[labrelay.steps.results.ResultRow]" in done.stdout, done.stdout + done.stderr
    assert 'has incompatible type "int"' in done.stdout


def test_mistakes_are_errors_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no Labrelay home"):
        labrelay.results(home=tmp_path / "nowhere")
    lab = TinyLab(tmp_path)
    with pytest.raises(NotFound, match="no experiment is called other"):
        labrelay.results("other", home=lab.home)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        labrelay.nothing  # type: ignore[attr-defined]  # noqa: B018
