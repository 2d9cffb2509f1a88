"""What was recorded is found again by any part of its name, quickly, whatever a person types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import seed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from labrelay.model.errors import UsageError
from labrelay.model.experiment import Experiment, Sample
from labrelay.records import experiments
from labrelay.records.database import Database
from labrelay.records.search import Kind, parse, search, unknown_values

OUTBREAK = Experiment(name="outbreak-000")
CAFE = Sample(
    experiment_id=OUTBREAK.id,
    name="100%_pure",
    aliases=("Café-7",),
    subject="patient 12",
    attributes={"ward": "Nørrebro", "note": 'a "quoted" word'},
)


@pytest.fixture(scope="module")
def small(new_url: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Database:
    db = seed.open_database(new_url(tmp_path_factory.mktemp("small")))
    seed.seed(db, 3, outputs=2)
    with db.write() as session:
        experiments.announce(session, OUTBREAK, [CAFE], correct=False)
    return db


@pytest.fixture
def session(small: Database) -> Iterator[Session]:
    with small.read() as opened:
        yield opened


def names(session: Session, text: str, kind: Kind | None = None) -> set[str]:
    return {hit.name for hit in search(session, text, kind).hits}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SMP00001", {"SMP00001"}),
        ("smp00001", {"SMP00001"}),
        ("alias-2", {"SMP00002"}),
        ('"patient 1"', {"SMP00001", "100%_pure"}),
        ('"patient 12"', {"100%_pure"}),
        ('"clinic 2" measles', {"SMP00002"}),
        ("clinic nowhere", set()),
        ("Café-7", {"100%_pure"}),
        ("Nørrebro", {"100%_pure"}),
        ("100%", {"100%_pure"}),
        ("%_", {"100%_pure"}),
        ("S_P", set()),
        ("outbreak-000", {"SMP00000", "SMP00001", "SMP00002", "100%_pure"}),
    ],
)
def test_samples_are_found_by_any_part_of_what_was_announced(session: Session, text: str, found: set[str]) -> None:
    assert names(session, text, "sample") == found


def test_one_word_finds_every_kind_that_has_it(session: Session) -> None:
    found = search(session, "SMP00001")
    assert found.hits[0].name == "SMP00001"
    assert found.totals == {"experiment": 0, "sample": 1, "instrument run": 0, "workflow run": 1, "file": 4}


def test_the_facets_narrow_and_their_counts_are_those_of_the_hits(session: Session) -> None:
    found = search(session, "", "workflow run")
    assert set(found.facets) == {"project", "assay", "experiment", "workflow", "state", "verdict", "stale", "month"}
    assert {count for values in found.facets.values() for count in values.values()} == {3}
    assert (found.facets["stale"], found.facets["project"]) == ({"no": 3}, {"measles": 3})
    assert search(session, "workflow:viral_variants verdict:PASS").totals == {"workflow run": 3}
    assert search(session, "verdict:fail").hits == ()
    assert search(session, "role:reads").totals["file"] == 6


def test_a_value_that_nothing_has_is_told_with_those_that_there_are(session: Session) -> None:
    [told] = unknown_values(session, "state:COMPLET platform:illumina")
    assert told == "nothing has state:COMPLET; state is one of: COMPLETE, stored"
    assert unknown_values(session, "state:complete anything") == []


def test_the_limit_cuts_hits_and_not_counts(session: Session) -> None:
    found = search(session, "", "file", limit=2)
    assert (len(found.hits), found.totals["file"]) == (2, 12)
    assert len(search(session, "", limit=-1).hits) == 1


def test_an_id_and_the_beginning_of_one_are_found(session: Session) -> None:
    assert names(session, CAFE.id) == {"100%_pure"}
    assert names(session, CAFE.id[:12]) == {"100%_pure"}


def test_an_unknown_kind_is_said(session: Session) -> None:
    with pytest.raises(UsageError, match="the kinds are experiment"):
        search(session, "", "pudding")  # type: ignore[arg-type]


def test_only_known_fields_are_fields() -> None:
    question = parse('chr1:200 State:RUNNING "a b" http://x state: :')
    assert question.fields == {"state": "RUNNING"}
    assert question.words == ("chr1:200", "a b", "http://x", "state:", ":")


HOSTILE = [
    "'",
    '"',
    "''",
    '" OR 1=1 --',
    "NEAR(",
    "a AND",
    "*",
    "col:",
    "{x}",
    "\0",
    "\\",
    "%",
    "_",
    "(" * 99,
    "a" * 9999,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_an_error(session: Session, text: str) -> None:
    assert len(search(session, text).hits) <= 50


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40))
def test_any_text_is_a_question_and_the_counts_hold_all_hits(session: Session, text: str) -> None:
    found = search(session, text)
    assert len(found.hits) == min(50, sum(found.totals.values()))
