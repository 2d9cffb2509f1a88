"""Settings that would fail later are refused when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.steps.settings import FILE, load_settings


def test_a_database_that_is_not_supported_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('database_url = "mysql://lab@db/labrelay"\n')
    with pytest.raises(
        RefusedInput, match=r"database_url: .*postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE"
    ):
        load_settings(tmp_path)
    for url in ("sqlite:////data/labrelay.sqlite", "postgresql://lab@db/labrelay"):
        (tmp_path / FILE).write_text(f'database_url = "{url}"\n')
        assert load_settings(tmp_path).database_url == url
