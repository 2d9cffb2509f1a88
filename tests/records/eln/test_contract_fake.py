"""The fake notebook of the tests keeps the promises that the core relies on."""

from pathlib import Path

import pytest
from contract import Bench, NotebookContract
from fake import FakeNotebook, Hands


class TestFake(NotebookContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        notebook = FakeNotebook(tmp_path / "notebook")
        return Bench(notebook, Hands(notebook), tmp_path.name)
