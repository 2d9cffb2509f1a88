"""A run's page by MultiQC: a program of its own, given Labrelay's numbers, in an empty folder and without a network.

MultiQC is under GPL-3 and large: it is installed apart, started once a page, and never imported.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from labrelay.model.errors import EngineFailed, MissingTool
from labrelay.parsers.child import run_child
from labrelay.stores.durable import storage_errors

SECONDS = 600
MEMORY_GIB = 8
# No word to the outside, no colours; names stay as they are, and the numbers are all that it looks for.
OPTIONS = (
    "--force", "--quiet", "--no-ansi", "--no-version-check", "--no-megaqc-upload", "--no-ai",
    "--fullnames", "--no-data-dir", "--module", "custom_content",
)  # fmt: skip
CONFIG = {
    "intro_text": False,
    "show_analysis_paths": False,
    "report_comment": "The numbers are Labrelay's; MultiQC read no file of the run.",
}


def multiqc_program(named: str) -> str:
    """Return the MultiQC program.

    Raises:
        MissingTool: There is none of this name.
    """
    found = shutil.which(named)
    if found is None:
        how = (
            "install it apart with `uv tool install multiqc` or `pipx install multiqc`, or name it as LABRELAY_MULTIQC"
        )
        raise MissingTool(f"the program {named}, which makes such pages, is not here: {how}")
    return str(Path(found).absolute())


def write_multiqc(program: str, title: str, sections: Mapping[str, Any], target: Path) -> None:
    """Write a page of these sections with MultiQC.

    Args:
        program: MultiQC, by its path.
        title: The page's.
        sections: Custom content by name, as `labrelay.records.report.multiqc_content` makes it; at least one.
        target: The page; a file of before gives way to it.

    Raises:
        EngineFailed: MultiQC ended without a page, or took too long.
        StorageFailed: The disk did not take it.
    """
    with tempfile.TemporaryDirectory(prefix="labrelay-multiqc-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for key, section in sections.items():
            (folder / "in" / f"labrelay_{key}_mqc.json").write_text(json.dumps(section), encoding="utf-8")
        # JSON is YAML, too.
        order = {"custom_content": {"order": [section["id"] for section in sections.values()]}}
        (folder / "config.yaml").write_text(json.dumps(CONFIG | order), encoding="utf-8")
        argv = [program, *OPTIONS, "--config", "config.yaml", "--title", escape(title), "--outdir", "out"]
        done = run_child([*argv, "--filename", "page.html", "in"], folder, SECONDS, MEMORY_GIB, network=False)
        page = folder / "out" / "page.html"
        if done.code or not page.is_file():
            raise EngineFailed(f"MultiQC made no page ({done.why}); run it by hand to see more: {program} --version")
        with storage_errors(f"write {target.name}", target.parent):
            shutil.copyfile(page, target)
