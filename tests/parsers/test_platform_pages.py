"""The pages on platforms are true: the example runs as it stands there, and every platform has its row."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from labrelay.parsers import registry
from labrelay.parsers.registry import Platform, platforms

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def module(name: str, code: str) -> ModuleType:
    made = ModuleType(name)
    exec(compile(code, f"docs/add-a-platform.md: {name}", "exec"), vars(made))
    return made


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's platform, registered by the page's own line of pyproject.toml."""
    platform = module("my_package.tally", blocks("add-a-platform.md", "python")[0])
    [toml] = blocks("add-a-platform.md", "toml")
    match = re.search(r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "([\w.]+)"', toml)
    assert match is not None
    monkeypatch.setitem(sys.modules, "my_package", ModuleType("my_package"))
    monkeypatch.setitem(sys.modules, match[3], platform)
    point = EntryPoint(name=match[2], group=match[1], value=match[3])
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == match[1] else [])
    platforms.cache_clear()
    yield platform
    platforms.cache_clear()


def test_the_platform_of_the_page_is_one_and_its_own_tests_pass(example: ModuleType, tmp_path: Path) -> None:
    assert isinstance(example, Platform)
    tests = module("test_tally", blocks("add-a-platform.md", "python")[1])
    found = [each for name, each in vars(tests).items() if name.startswith("test_") and inspect.isfunction(each)]
    assert len(found) == 2
    for test in found:
        folder = tmp_path / test.__name__
        folder.mkdir()
        test(folder)


def test_the_platform_of_the_page_reads_a_folder_whose_name_differs(example: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tally.json").write_text('{"run": "T8", "operator": "Ada", "finished": 3}')
    run = registry.read_run(tmp_path)
    assert ([problem.code for problem in run.problems], run.personal) == (["ID_MISMATCH"], {"operator": "Ada"})


def test_every_platform_has_its_row_in_the_page() -> None:
    table = (DOCS / "instruments.md").read_text().partition("\n## Platforms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(set(rows)) == sorted(rows)
    assert {platform.NAME for platform in platforms() if platform.__name__.startswith("labrelay.")} <= set(rows)
