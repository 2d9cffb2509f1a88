"""What every notebook has to do: inherit `NotebookContract` and give it a `bench`.

class TestMine(NotebookContract):
    @pytest.fixture
    def bench(self) -> Bench: ...
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import parts as made
import pytest

from labrelay.model.errors import LabrelayError
from labrelay.model.ids import derived_id
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln.port import ChangedThere, Heading, Notebook, Part, SampleThere

HEADING = Heading(title=made.EXPERIMENT.title or "")


class Hands(Protocol):
    """What a person does in the notebook."""

    def edit(self, external_id: str, part: str) -> None:
        """Change one of our parts."""

    def remove(self, external_id: str, part: str) -> None:
        """Take one of our parts away."""

    def close(self, external_id: str, how: str = "deleted") -> None:
        """Delete the entry (`deleted`), or make it refuse our changes (`locked`)."""

    def announce(self, external_id: str, name: str, samples: dict[str, str], title: str | None = None) -> str:
        """Announce an experiment, or edit the one with this id; return its id (`external_id` is a wish)."""


@dataclass
class Bench:
    """A notebook and a person in it; `name` is a word that no other test has, for identifiers."""

    notebook: Notebook
    hands: Hands
    name: str

    @property
    def identifier(self) -> str:
        """Our identifier of an entry that only this test has."""
        return derived_id("exp", self.name)

    def entry(self) -> str:
        """Make this test's entry and return its id there."""
        return self.notebook.create(self.identifier, HEADING).external_id

    def write_all(self, external_id: str, parts: list[Part]) -> None:
        """Write parts that are not there."""
        for part in parts:
            if self.notebook.digest(part) is not None:
                self.notebook.write(external_id, part, None)

    def digests(self, external_id: str) -> dict[str, str]:
        """Return what is there, by part."""
        return {name: part.digest for name, part in self.notebook.read(external_id).parts.items()}


class NotebookContract:
    """The tests; each adapter passes all of them.

    Attributes:
        closing: How people close entries that we made; a notebook without locks has a test of its own for these.
    """

    closing: tuple[str, ...] = ("deleted", "locked")

    def wanted(self, bench: Bench, parts: list[Part]) -> dict[str, str]:
        """Return the digests that the parts shall have, those without a place left out."""
        digests = {part.name: bench.notebook.digest(part) for part in parts}
        return {name: digest for name, digest in digests.items() if digest is not None}

    def test_a_working_account_has_no_problems(self, bench: Bench) -> None:
        assert [str(problem) for problem in bench.notebook.check()] == []

    def test_an_identifier_that_nobody_used_finds_nothing(self, bench: Bench) -> None:
        assert bench.notebook.find(bench.identifier) is None

    def test_an_entry_asked_for_twice_is_one_and_is_found_by_our_identifier(self, bench: Bench) -> None:
        first = bench.notebook.create(bench.identifier, HEADING)
        again = bench.notebook.create(bench.identifier, HEADING)
        found = bench.notebook.find(bench.identifier)
        assert first.external_id == again.external_id
        assert found is not None
        assert (found.external_id, found.state) == (first.external_id, "open")
        assert bench.notebook.url(first.external_id).startswith("http")

    def test_what_was_written_reads_as_it_was_written(self, bench: Bench, tmp_path: Path) -> None:
        external_id, parts = bench.entry(), made.all_parts(tmp_path)
        bench.write_all(external_id, parts)
        assert bench.digests(external_id) == self.wanted(bench, parts)

    def test_a_new_content_takes_the_place_of_ours_and_leaves_the_other_parts(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        external_id, parts = bench.entry(), made.all_parts(tmp_path)
        bench.write_all(external_id, parts)
        before = bench.digests(external_id)
        later: list[Part] = [made.status("running"), made.results(2.5), made.file(tmp_path, b"another report")]
        for part in later:
            if bench.notebook.digest(part) is not None:
                bench.notebook.write(external_id, part, before[part.name])
        assert bench.digests(external_id) == before | self.wanted(bench, later)

    def test_different_contents_have_different_digests(self, bench: Bench, tmp_path: Path) -> None:
        pairs = [
            (made.status("done"), made.status("failed")),
            (made.results(1.5), made.results(1.25)),
            (made.results(0.0), made.results(None)),
            (made.file(tmp_path / "a", b"one"), made.file(tmp_path / "b", b"two")),
        ]
        for one, other in pairs:
            if (digest := bench.notebook.digest(one)) is not None:
                assert digest != bench.notebook.digest(other)

    def test_a_persons_edit_is_seen_and_never_overwritten(self, bench: Bench, tmp_path: Path) -> None:
        external_id, parts = bench.entry(), made.all_parts(tmp_path)
        bench.write_all(external_id, parts)
        wanted = self.wanted(bench, parts)
        for part in parts:
            if part.name not in wanted:
                continue
            bench.hands.edit(external_id, part.name)
            edited = bench.digests(external_id)[part.name]
            assert edited != wanted[part.name]
            with pytest.raises(ChangedThere):
                bench.notebook.write(external_id, part, wanted[part.name])
            assert bench.digests(external_id)[part.name] == edited
            bench.notebook.write(external_id, part, edited)  # as a person decided
        assert bench.digests(external_id) == wanted

    def test_a_part_that_a_person_took_away_is_missing_and_can_be_written_again(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        external_id, parts = bench.entry(), made.all_parts(tmp_path)
        bench.write_all(external_id, parts)
        wanted = self.wanted(bench, parts)
        for part in parts:
            if part.name not in wanted:
                continue
            bench.hands.remove(external_id, part.name)
            left = bench.digests(external_id)
            assert part.name not in left
            assert left == {name: digest for name, digest in wanted.items() if name != part.name}
            bench.notebook.write(external_id, part, None)
        assert bench.digests(external_id) == wanted

    def test_an_entry_that_a_person_closed_says_so_and_takes_nothing(self, bench: Bench) -> None:
        for how in self.closing:
            bench.name = f"{bench.name}-{how}"
            external_id, part = bench.entry(), made.status("done")
            bench.write_all(external_id, [part])
            before = bench.digests(external_id)
            bench.hands.close(external_id, how)
            assert bench.notebook.read(external_id).entry.state == how
            with pytest.raises(Undeliverable) as refused:
                bench.notebook.write(external_id, made.status("failed"), before[part.name])
            assert not refused.value.retryable
            found = bench.notebook.find(bench.identifier)
            assert found is None or found.state == how

    def test_what_is_announced_is_heard_once_and_an_edit_is_heard_again(self, bench: Bench) -> None:
        before = bench.notebook.announced_since(None)
        external_id = bench.hands.announce("77", f"study {bench.name}", {"s1": "ACGTACGT", "s2": ""})
        news = bench.notebook.announced_since(before.cursor)
        heard = [a for a in news.announcements if a.external_id == external_id]
        assert [a.name for a in heard] == [f"study {bench.name}"]
        assert heard[0].samples == (SampleThere(name="s1", barcode="ACGTACGT"), SampleThere(name="s2"))
        assert not heard[0].problems
        bench.hands.announce(external_id, f"study {bench.name}", {"s1": "ACGTACGA", "s2": ""})
        edited = [a for a in bench.notebook.announced_since(news.cursor).announcements if a.external_id == external_id]
        assert [a.samples[0].barcode for a in edited] == ["ACGTACGA"]
        assert edited[0].version != heard[0].version

    def test_our_own_writing_is_no_announcement(self, bench: Bench, tmp_path: Path) -> None:
        external_id = bench.hands.announce("78", f"own {bench.name}", {"s1": ""})
        first = bench.notebook.announced_since(None)
        bench.write_all(external_id, made.all_parts(tmp_path))
        versions = {a.version for a in first.announcements if a.external_id == external_id}
        later = bench.notebook.announced_since(first.cursor).announcements
        assert {a.version for a in later if a.external_id == external_id} <= versions

    def test_errors_are_sentences(self, bench: Bench) -> None:
        bench.hands.close(bench.entry(), "deleted")
        with pytest.raises(LabrelayError, match=r"\w+ \w+"):
            bench.notebook.write("no-such-entry", made.status("done"), None)
