"""Sheet rows meet announced samples by id, barcode or alias; what could mean two samples is left to a person."""

from collections import defaultdict

import pytest

from labrelay.model.barcodes import spelled
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.instrument import SheetSample
from labrelay.records.experiments import SampleIndex
from labrelay.steps.matching import barcode_of, free_samples, match


def announced(name: str, experiment: str = "exp_1", **more: object) -> Sample:
    return Sample.model_validate({"experiment_id": experiment, "name": name, **more})


def index(*samples: Sample) -> SampleIndex:
    made = SampleIndex(defaultdict(list), defaultdict(list), defaultdict(list))
    for sample in samples:
        made.by_id[sample.name.casefold()].append(sample)
        for alias in sample.aliases:
            made.by_alias[alias.casefold()].append(sample)
        if sample.barcode:
            made.by_barcode[sample.barcode].append(sample)
    return made


def row(sample_id: str, **more: object) -> SheetSample:
    return SheetSample.model_validate({"sample_id": sample_id, **more})


def test_an_id_matches_without_case() -> None:
    found = match("s1", [row("s1")], index(announced("S1"), announced("S2")))
    assert (found.sample and found.sample.name, found.by) == ("S1", "id")


@pytest.mark.parametrize("written", ["s1", "S1"])
def test_of_two_names_that_differ_in_case_the_one_as_written_is_meant(written: str) -> None:
    both = index(announced("S1"), announced("s1", "exp_2"))
    found = match(written, [row(written)], both)
    assert (found.sample and found.sample.name, found.by) == (written, "id")


def test_of_two_aliases_that_differ_in_case_the_one_as_written_is_meant() -> None:
    both = index(announced("A", aliases=("mv-1",)), announced("B", aliases=("MV-1",)))
    found = match("MV-1", [], both)
    assert (found.sample and found.sample.name, found.by) == ("B", "alias")
    assert match("Mv-1", [], both).sample is None


def test_the_sheets_sample_name_counts_as_its_id_does() -> None:
    assert match("1", [row("1", name="S1")], index(announced("S1"))).by == "id"


def test_a_barcode_matches_what_no_name_does() -> None:
    sample = announced("S1", barcode="ACGT+TTGA")
    assert match("x", [row("x", index="acgt", index2="ttga")], index(sample)).by == "barcode"


def test_an_alias_matches_last() -> None:
    assert match("MVs-1", [row("MVs-1")], index(announced("S1", aliases=("MVs-1",)))).by == "alias"


def test_a_right_name_with_a_wrong_index_is_held_back_as_a_wrong_sheet() -> None:
    found = match(
        "S1", [row("S1", index="TTTT")], index(announced("S1", barcode="ACGT"), announced("S2", barcode="TTTT"))
    )
    assert found.sample is None
    assert "wrong sheet" in (found.reason or "")
    assert "announced for S2" in (found.reason or "")


@pytest.mark.parametrize("barcode", ["barcode01", "bc1002--bc1002"])
def test_a_barcode_that_is_only_a_name_says_nothing_against_an_announced_sequence(barcode: str) -> None:
    found = match("S1", [row("S1", barcode=barcode)], index(announced("S1", barcode="ACGT")))
    assert (found.sample and found.sample.name, found.by) == ("S1", "id")
    held = match("S1", [row("S1", barcode="TTTT")], index(announced("S1", barcode="ACGT")))
    assert held.sample is None


def test_one_name_in_two_experiments_is_settled_by_the_sheets_project_or_by_nobody() -> None:
    both = index(announced("S1", "exp_1", project="P"), announced("S1", "exp_2", project="Q"))
    settled = match("S1", [row("S1", project="Q")], both)
    assert settled.sample is not None
    assert settled.sample.experiment_id == "exp_2"
    open_match = match("S1", [row("S1")], both)
    assert open_match.sample is None
    assert "labrelay assign" in (open_match.reason or "")


def test_what_nobody_announced_says_so() -> None:
    assert match("new", [], index(announced("S1"))).reason == "no announced sample is called new"


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (row("x"), None),
        (row("x", index="ac"), "AC"),
        (row("x", index="ac", index2="gt"), "AC+GT"),
        (row("x", barcode="aa"), "AA"),
    ],
)
def test_barcodes_are_written_in_one_way(sample: SheetSample, expected: str | None) -> None:
    assert barcode_of(sample) == expected


@pytest.mark.parametrize("said", ["barcode01", "BC01", "NB01", "nb1", "1", "01", "RB01"])
def test_a_lab_says_a_kits_barcode_as_it_likes(said: str) -> None:
    samples = index(announced("patient 1", barcode=spelled(said)), announced("patient 2", barcode="barcode02"))
    rows = [row("barcode01", barcode="barcode01"), row("barcode02", barcode="barcode02")]
    free = free_samples(rows, samples, used=(), chosen=False)
    found = match("barcode01", rows[:1], samples, free)
    assert (found.sample and found.sample.name, found.by) == ("patient 1", "barcode")


def test_a_kits_barcode_means_nobody_who_has_reads_of_another_pool_unless_the_experiment_is_named() -> None:
    first = announced("S1", barcode="barcode01")
    rows = [row("barcode01", barcode="barcode01")]
    samples = index(first)
    again = match("barcode01", rows, samples, free_samples(rows, samples, used=[first.id], chosen=False))
    assert again.sample is None
    assert again.reason == (
        "barcode01 was announced for S1, and every pool has one: name the experiment with --experiment, or assign it"
    )
    chosen = free_samples(rows, samples, used=[first.id], chosen=True)
    assert match("barcode01", rows, samples, chosen).sample == first
    assert match("barcode01", rows, samples).sample is None, "without a look at other runs it means nobody"
    assert "or has the barcode barcode01" in str(match("barcode01", rows, index()).reason)


def test_a_kits_barcode_means_the_sample_of_the_experiment_or_pool_that_the_run_names() -> None:
    both = [announced("S1", Experiment(name=name).id, barcode="barcode01") for name in ("pool7", "pool8")]
    rows = [row(f"{name}_barcode01", barcode="barcode01") for name in ("pool7", "pool8")]
    samples = index(*both)
    free = free_samples(rows, samples, used=(), chosen=False)
    assert [match(each.sample_id, [each], samples, free).sample for each in rows] == both
    told = row("barcode01", barcode="NB01", project="pool8")
    assert match("barcode01", [told], samples).sample == both[1]
    mixed = index(announced("S1", barcode="barcode01"))
    assert [
        match(each.sample_id, [each], mixed, free_samples(rows, mixed, (), chosen=True)).sample for each in rows
    ] == [
        None,
        None,
    ], "two pools of one run are not put together"


def test_a_right_name_with_another_kits_barcode_may_be_the_wrong_sheet() -> None:
    samples = index(announced("S1", barcode="barcode03"), announced("S2", barcode="barcode01"))
    found = match("S1", [row("S1", barcode="barcode01")], samples)
    assert (found.sample, "wrong sheet" in str(found.reason)) == (None, True)
    assert match("S1", [row("S1", index="ACGT")], samples).by == "id"
