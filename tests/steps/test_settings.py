"""Settings that would fail later are refused when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.steps.settings import FILE, load_settings


def test_a_database_that_is_not_supported_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('database_url = "postgresql://lab@db/labrelay"\n')
    with pytest.raises(RefusedInput, match=r"database_url: .*only sqlite:///FILE works so far"):
        load_settings(tmp_path)
    (tmp_path / FILE).write_text('database_url = "sqlite:////data/labrelay.sqlite"\n')
    assert load_settings(tmp_path).database_url == "sqlite:////data/labrelay.sqlite"
