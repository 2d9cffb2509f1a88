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


def test_a_token_of_the_notebook_is_taken_without_its_line_break_and_refused_when_http_cannot_carry_it(
    tmp_path: Path,
) -> None:
    (tmp_path / FILE).write_text('eln_token = " pat_1-aB~\\n"\n')
    token = load_settings(tmp_path).eln_token
    assert token is not None
    assert token.get_secret_value() == "pat_1-aB~"
    for wrong in ("t\u00f6ken-secret", "two\\nsecrets", "a secret", ""):
        (tmp_path / FILE).write_text(f'eln_token = "{wrong}"\n', encoding="utf-8")
        with pytest.raises(RefusedInput, match=r"eln_token: .*copy it anew") as refused:
            load_settings(tmp_path)
        assert "secret" not in str(refused.value)


def test_a_token_from_the_environment_is_held_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE).write_text("")
    monkeypatch.setenv("LABRELAY_ELN_TOKEN", "pat_1\r\n")
    token = load_settings(tmp_path).eln_token
    assert token is not None
    assert token.get_secret_value() == "pat_1"
