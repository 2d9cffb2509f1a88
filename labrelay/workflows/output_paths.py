"""What a definition says wrong of where its outputs lie, for the languages in which the definition tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labrelay.model.names import safe_relative
from labrelay.model.problem import Problem
from labrelay.workflows.specs import FILE_NAME, OutputSpec


def path_problems(outputs: Mapping[str, OutputSpec], files: str, example: str, folder: str) -> Iterator[Problem]:
    """Yield every output without a path, or with one that leads out of its folder.

    Args:
        outputs: By their names.
        files: The words for what a path selects, such as `published files`.
        example: A path that would do.
        folder: The words for where the files lie, such as `publish folder`.
    """
    for name, output in outputs.items():
        if output.path is None:
            message = f'outputs.{name}.path: say which {files} these are, such as path = "{example}".'
            yield Problem(code="OUTPUT_WITHOUT_PATH", message=message, path=FILE_NAME)
        elif safe_relative(output.path) is None:
            message = f"outputs.{name}.path: {output.path} is no pattern inside the {folder}."
            yield Problem(code="DEFINITION_INVALID", message=message, path=FILE_NAME)
