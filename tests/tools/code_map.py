"""Writes the map of the code into CONTRIBUTING.md from the modules' docstrings: `python tests/tools/code_map.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- map: begin -->\n", "<!-- map: end -->\n"
# A room imports only rooms to its left; the map goes the same way.
ROOMS = ("model", "parsers", "stores", "workflows", "records", "steps", "flows", "emulator", "api", "cli")


def code_map() -> str:
    """Return the map: a heading a room with its question, and a line a module."""
    parts = [_section("At the top", ROOT / "labrelay", recurse=False)]
    parts += [_section(f"`{room}/`", ROOT / "labrelay" / room) for room in ROOMS]
    return "\n".join(parts)


def modules() -> Iterator[Path]:
    """Yield every module that the map has to hold; a package's `__init__.py` gives the heading's words."""
    for path in sorted((ROOT / "labrelay").rglob("*.py")):
        if path.name != "__init__.py":
            yield path.relative_to(ROOT)


def _section(title: str, folder: Path, *, recurse: bool = True) -> str:
    inside = [p for p in modules() if (ROOT / p).is_relative_to(folder) and (recurse or (ROOT / p).parent == folder)]
    lines = [f"- `{path}`: {_first_words(ROOT / path)}" for path in inside]
    return f"### {title}\n\n{_first_words(folder / '__init__.py')}\n\n" + "\n".join(lines) + "\n"


def _first_words(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{code_map()}\n{END}{after}", encoding="utf-8")
