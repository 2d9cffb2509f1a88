"""Proves that the checkers still fail: plants a type error and a forbidden import, and looks for both to be found.

Run by `make check`. The plants go into a copy of the tree, so nothing of the checkout is touched.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
PLANTS = (
    (
        "a type error",
        "labrelay/model/planted.py",
        'number: int = "text"\n',
        [BIN / "mypy", "labrelay/model/planted.py"],
    ),
    ("a forbidden import", "labrelay/model/planted.py", "import labrelay.steps.home\n", [BIN / "lint-imports"]),
    ("Prefect below flows", "labrelay/steps/planted.py", "import prefect\n", [BIN / "lint-imports"]),
    ("a bare import of a room", "labrelay/cli/planted.py", "import flows\n", [BIN / "ruff", "check", "labrelay/cli"]),
    ("a print", "labrelay/model/planted.py", 'print("x")\n', [BIN / "ruff", "check", "labrelay/model"]),
)


def main() -> int:
    """Return 0 when every plant was found, else 1 with the names of those that were not."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT / "labrelay", copy / "labrelay", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy / "pyproject.toml")
        missed = [name for name, path, text, command in PLANTS if not found(copy, path, text, command)]
    for name in missed:
        sys.stderr.write(f"the checkers did not find {name}\n")
    if not missed:
        sys.stdout.write(f"the checkers found all {len(PLANTS)} planted faults\n")
    return 1 if missed else 0


def found(copy: Path, path: str, text: str, command: list[Path | str]) -> bool:
    """Plant `text`, run the checker, and tell whether it failed naming the plant."""
    planted = copy / path
    planted.write_text(f'"""Planted."""\n\n{text}', encoding="utf-8")
    try:
        done = subprocess.run(
            command, cwd=copy, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(copy)}
        )
        return done.returncode != 0 and "planted" in done.stdout + done.stderr
    finally:
        planted.unlink()


if __name__ == "__main__":
    sys.exit(main())
