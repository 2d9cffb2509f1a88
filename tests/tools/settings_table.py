"""Writes docs/settings.md from the descriptions of the settings: `python tests/tools/settings_table.py --write`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from labrelay.steps.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
BEFORE = """\
# Settings

Settings are lines of `labrelay.toml` in the home folder. Each can also be given in the environment as `LABRELAY_` and
the name in capitals; the environment wins. There a list is JSON: `LABRELAY_LANDING='["/data/runs"]'`. A name that is
not known is refused. `labrelay doctor` prints what is set, from where, and what works; secrets are masked.

| setting | type | default | meaning |
|---|---|---|---|
"""
AFTER = """
`LABRELAY_HOME` names the home folder itself; `--home` wins over it. Keep `labrelay.toml` readable by you alone when it
holds a password or a webhook, or give those in the environment.

A `database_url` of PostgreSQL needs `pip install 'labrelay[postgres]'`; a password may stand in it, in `PGPASSWORD`
or in `~/.pgpass`. [records.md](records.md) says how to begin with it, and how backups are made.

This page is written from the program: `python tests/tools/settings_table.py --write`.
"""


def document() -> str:
    """Return the whole page."""
    return BEFORE + "".join(_row(name, field) for name, field in Settings.model_fields.items()) + AFTER


def _row(name: str, field: Any) -> str:
    if field.default_factory is not None:
        default = "number of cores"
    elif field.default is PydanticUndefined or field.default in (None, (), {}):
        default = "–"
    else:
        default = f"`{field.default}`"
    meaning = field.description.replace("|", "\\|")
    return f"| `{name}` | {_kind(field.annotation)} | {default} | {meaning} |\n"


def _kind(annotation: Any) -> str:
    choices = get_args(annotation)
    if get_origin(annotation) is dict:
        return "tables"
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    if annotation in (int, float) or {int, float}.intersection(choices):
        return "number"
    if any(choice is ... for choice in choices):
        return "list of folders" if choices[0] is Path else "list"
    return "secret text" if SecretStr in choices else "text"


if __name__ == "__main__":
    if "--write" in sys.argv:
        DOCUMENT.write_text(document(), encoding="utf-8")
    else:
        sys.stdout.write(document())
