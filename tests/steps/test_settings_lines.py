"""Settings are written where TOML reads them: at the top level, whatever else the file holds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from labrelay.model.errors import UsageError
from labrelay.steps.settings import TEMPLATE
from labrelay.steps.settings_lines import write_settings

IDS = {"profile": "healthomics", "sequence_store_id": "1234567890"}
FILES = {
    "empty": "",
    "the template": TEMPLATE,
    "begins with a table": "[later]\nretries = 2\n",
    "a table after a setting": "retries = 2\n[later]\nretries = 3\n",
    "an indented table": "retries = 2\n\n  [later]\n  x = 1\n[[more]]\ny = 2\n",
    "no last line end": "retries = 2",
    "an array whose line begins with a bracket": 'matrix = [\n[1, 2],\n["a"],\n]\nretries = 2\n[later]\nx = 1\n',
    "a text whose line begins with a bracket": 'note = """\n[not a table]\n"""\n[later]\nx = 1\n',
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_settings_land_at_the_top_level_and_all_else_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "labrelay.toml"
    file.write_text(text)
    before = tomllib.loads(text)
    write_settings(tmp_path, IDS)
    assert tomllib.loads(file.read_text()) == {**before, **IDS}
    written = file.read_text()
    assert all(line in written.splitlines() for line in text.splitlines())
    write_settings(tmp_path, IDS)
    assert file.read_text() == written


def test_another_value_stays_unless_it_is_known_to_be_out_of_date(tmp_path: Path) -> None:
    file = tmp_path / "labrelay.toml"
    text = "retries = 1\nsequence_store_id = '1111111111'  # of the old account\n[later]\nsequence_store_id = \"1\"\n"
    file.write_text(text)
    with pytest.raises(UsageError, match=r'sequence_store_id = "1111111111" already'):
        write_settings(tmp_path, IDS)
    assert file.read_text() == text
    write_settings(tmp_path, IDS, replaced=("sequence_store_id",))
    assert 'sequence_store_id = "1234567890"  # of the old account' in file.read_text()
    assert tomllib.loads(file.read_text()) == {**tomllib.loads(text), **IDS}


def test_a_value_on_a_line_that_we_do_not_understand_is_left_to_the_person(tmp_path: Path) -> None:
    file = tmp_path / "labrelay.toml"
    file.write_text('"sequence_store_id" = """\n1111111111"""\n')
    with pytest.raises(UsageError, match='write sequence_store_id = "1234567890" there'):
        write_settings(tmp_path, IDS, replaced=("sequence_store_id",))
