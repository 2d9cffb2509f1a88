"""`rules.toml`: which samples get which workflow, with which reference and parameters.

    [[rule]]
    name = "measles genomes"
    workflow = "viral_variants"      # version = "1.0.0" pins one; else the newest
    reference = "MH356245.1"
    scope = "sample"                 # or "cohort": one run over all samples of the experiment
    merge = "lanes"                  # or "topups": with the reads of earlier instrument runs; "none": a run a read set
    on = "local"                     # or "healthomics", "batch"; else as the workflow and the home are set up
    large_gb = 20                    # runs with more reads than that …
    on_large = "batch"               # … go there
    priority = "high"                # or "low"; where the engine can tell
    [rule.when]                      # shell patterns, without case; what is left out matches all
    platform = "illumina"
    assay = "measles*"
    [rule.parameters]
    min_depth = 10

Every rule that matches applies, so that one sample can get several workflows; no rule, no run.
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from labrelay.model.errors import RefusedInput
from labrelay.model.experiment import Sample
from labrelay.model.problem import Frozen, Problem
from labrelay.model.runs import Priority
from labrelay.workflows.specs import Place

FILE = "rules.toml"


class When(Frozen):
    """The patterns that a sample and its instrument run have to match."""

    platform: str = "*"
    assay: str = "*"
    project: str = "*"
    experiment: str = "*"
    sample: str = "*"


class Rule(Frozen):
    """One rule of `rules.toml`."""

    name: str
    workflow: str
    version: str | None = None
    reference: str | None = None
    scope: Literal["sample", "cohort"] = "sample"
    merge: Literal["lanes", "topups", "none"] = "lanes"
    when: When = When()
    parameters: dict[str, Any] = {}
    on: Place | None = None
    on_large: Place | None = None
    large_gb: float | None = Field(default=None, ge=0)
    priority: Priority = "normal"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.on_large is None) != (self.large_gb is None):
            raise ValueError("`on_large` and `large_gb` go together: where large runs go, and from which size on")
        return self

    def place_for(self, read_bytes: int) -> Place | None:
        """Return the kind of engine for a run on so many bytes of reads; None when the rule does not say."""
        if self.large_gb is not None and read_bytes > self.large_gb * 1e9:
            return self.on_large
        return self.on

    def why_not(self, sample: Sample, platform: str, experiment: str) -> str | None:
        """Return None when the rule applies, else which pattern the sample does not match."""
        values = {
            "platform": platform,
            "assay": sample.assay or "",
            "project": sample.project or "",
            "experiment": experiment,
            "sample": sample.name,
        }
        for name, value in values.items():
            pattern = getattr(self.when, name)
            if not fnmatchcase(value.casefold(), pattern.casefold()):
                return f"{name} is {value!r}, the rule wants {pattern!r}"
        return None


def load_rules(home: Path) -> tuple[Rule, ...]:
    """Return the rules of a home; a home without the file has none.

    Raises:
        RefusedInput: The file is no TOML, a name or a value in it is unknown, or two rules have one name.
    """
    file = home / FILE
    if not file.is_file():
        return ()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RefusedInput(f"the rules {file}", [Problem(code="NOT_TOML", message=str(error), path=FILE)]) from None
    problems = [
        Problem(code="UNKNOWN_TABLE", message=f"[{name}] is not known; rules are [[rule]] tables", path=FILE)
        for name in content
        if name != "rule"
    ]
    rules: list[Rule] = []
    for number, table in enumerate(content.get("rule", []), 1):
        try:
            rules.append(Rule.model_validate(table))
        except ValidationError as error:
            problems += [_problem(number, e) for e in error.errors()]
    names = [rule.name for rule in rules]
    problems += [
        Problem(code="DUPLICATE_RULE", message=f"two rules are called {name}", path=FILE)
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if problems:
        raise RefusedInput(f"the rules {file}", problems)
    return tuple(rules)


def _problem(number: int, error: Any) -> Problem:
    where = ".".join(str(part) for part in error["loc"])
    return Problem(code="BAD_RULE", message=f"rule {number}, {where}: {error['msg']}", path=FILE)


TEMPLATE = """\
# Which samples get which workflow. Try it with: labrelay rules test FOLDER
#
# [[rule]]
# name = "measles genomes"
# workflow = "viral_variants"
# reference = "MH356245.1"
# [rule.when]
# platform = "illumina"
# assay = "measles*"
"""
