"""Where a workflow runs: what a person says, then its definition, then the home."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.errors import UsageError
from labrelay.workflows.definition import Definition
from labrelay.workflows.places import choose_place

ALL = ("local", "healthomics", "batch")


def definition(**values: object) -> Definition:
    said = {"name": "tiny", "version": "1", "title": "Tiny", "workflow": "tiny", "folder": Path("tiny"), **values}
    return Definition.model_validate(said)


def test_without_a_word_it_runs_where_the_home_does() -> None:
    assert choose_place(definition(), None, "healthomics", ALL) == "healthomics"
    assert choose_place(definition(), None, "ledger", ("ledger",)) == "ledger"


def test_a_person_goes_before_the_definition_and_the_home() -> None:
    assert choose_place(definition(runs_on=("local", "batch")), "batch", "local", ALL) == "batch"


def test_a_definition_goes_before_the_home_in_its_own_order() -> None:
    wish = definition(runs_on=("batch", "local"))
    assert choose_place(wish, None, "local", ALL) == "batch"
    assert choose_place(wish, None, "local", ("local",)) == "local"


def test_a_command_does_not_run_on_healthomics() -> None:
    command = definition(language="COMMAND", command=("true",))
    assert choose_place(command, None, "healthomics", ("healthomics", "local")) == "local"
    with pytest.raises(UsageError, match="tiny runs on local or batch, not on healthomics: its language is COMMAND"):
        choose_place(command, "healthomics", "healthomics", ALL)


def test_a_definition_that_names_its_places_is_taken_by_its_word() -> None:
    with pytest.raises(UsageError, match="tiny runs on local, not on batch: its runs_on says so"):
        choose_place(definition(runs_on=("local",)), "batch", "local", ALL)


def test_what_no_engine_of_the_home_runs_is_told_as_what_it_would_need() -> None:
    assert choose_place(definition(language="READY2RUN", ready2run="1"), None, "local", ("local",)) == "healthomics"
