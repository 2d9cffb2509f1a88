"""`rules.toml` says which samples get which workflow, and its mistakes are all told at once."""

from pathlib import Path

import pytest

from labrelay.model.canonical import digest
from labrelay.model.errors import RefusedInput
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.files import FileRef
from labrelay.model.reads import ReadSource
from labrelay.steps.route import Reads, decide
from labrelay.steps.rules import Rule, load_rules


def ref(key: str) -> FileRef:
    sha256 = digest(key)
    return FileRef(storage="objects", key=key, version=sha256, sha256=sha256, size=1)


def reads(name: str, *sets: tuple[str, int | None], assay: str = "measles-wgs") -> Reads:
    sample = Sample(experiment_id="exp_1", name=name, assay=assay)
    made = [
        (
            run,
            lane,
            ReadSource(sample_id=sample.id, name=f"{run}/{lane}", file_type="FASTQ", files=(ref(f"{run}/{lane}"),)),
        )
        for run, lane in sets
    ]
    return Reads(sample, Experiment(name="e"), made, dict.fromkeys([run for run, _lane in sets], "illumina"))


def rule(**more: object) -> Rule:
    return Rule.model_validate({"name": "r", "workflow": "w", **more})


def names(planned: object) -> list[list[str]]:
    return [[s.name for s in reads.read_sets] for one in planned for reads in one.samples]  # type: ignore[attr-defined]


def test_lanes_of_one_run_come_together_and_earlier_runs_stay_out() -> None:
    entry = reads("a", ("old", 1), ("new", 1), ("new", 2))
    assert names(decide([rule()], [entry], [], "new").planned) == [["new/1", "new/2"]]


def test_top_ups_bring_earlier_runs_in() -> None:
    entry = reads("a", ("old", 1), ("new", 1))
    assert names(decide([rule(merge="topups")], [entry], [], "new").planned) == [["old/1", "new/1"]]


def test_reads_that_came_twice_count_once_and_it_is_said() -> None:
    entry = reads("a", ("old", 1), ("copy", 1), ("copy", 2))
    same = entry.sets[1][2].model_copy(update={"files": (ref("old/1").model_copy(update={"key": "copy/1"}),)})
    entry.sets[1] = ("copy", 1, same)
    routed = decide([rule(merge="topups")], [entry], [], "copy")
    assert names(routed.planned) == [["old/1", "copy/2"]]
    assert [why for _name, why in routed.left_out] == [
        f"{same.id} has the bytes of {entry.sets[0][2].id} of old; its reads count once"
    ]
    assert names(decide([rule(merge="lanes")], [entry], [], "copy").planned) == [["copy/1", "copy/2"]]


def test_read_sets_may_stay_apart_each_with_its_own_label() -> None:
    planned = decide([rule(merge="none")], [reads("a", ("new", 1), ("new", 2))], [], "new").planned
    assert [p.label for p in planned] == ["lane1", "lane2"]


def test_patterns_choose_and_say_why_they_do_not() -> None:
    chosen = rule(when={"assay": "measles*", "platform": "ILLUMINA"})
    routed = decide([chosen], [reads("a", ("new", 1)), reads("b", ("new", 1), assay="flu")], [], "new")
    assert [p.subject for p in routed.planned] == ["a"]
    assert routed.left_out == [("b", "r: assay is 'flu', the rule wants 'measles*'")]


def test_every_rule_that_matches_applies() -> None:
    routed = decide([rule(), rule(name="s", workflow="v")], [reads("a", ("new", 1))], [], "new")
    assert [p.rule.workflow for p in routed.planned] == ["w", "v"]


def test_a_cohort_is_one_run_over_all_samples_in_order() -> None:
    members = [reads("b", ("new", 1)), reads("a", ("old", 1))]
    planned = decide([rule(scope="cohort")], members[:1], members, "new").planned
    assert [[s.sample.name for s in p.samples] for p in planned] == [["a", "b"]]
    assert planned[0].subject == "cohort"


def test_no_rules_is_said() -> None:
    assert decide([], [reads("a", ("new", 1))], [], "new").left_out == [("a", "rules.toml has no rules")]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(
        '[[rule]]\nname = "x"\nscope = "plate"\n[[rule]]\nname = "y"\nworkflow = "w"\nlanes = 1\n[other]\n'
    )
    with pytest.raises(RefusedInput) as caught:
        load_rules(tmp_path)
    text = str(caught.value)
    for part in ("rule 1, workflow", "rule 1, scope", "rule 2, lanes", "[other] is not known"):
        assert part in text


def test_a_home_without_the_file_has_no_rules(tmp_path: Path) -> None:
    assert load_rules(tmp_path) == ()


def test_broken_toml_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "x\n')
    with pytest.raises(RefusedInput, match="line 2"):
        load_rules(tmp_path)


def test_a_rule_sends_large_runs_elsewhere_and_says_both_or_neither() -> None:
    sized = rule(on="local", large_gb=1, on_large="batch")
    assert (sized.place_for(10**9), sized.place_for(10**9 + 1)) == ("local", "batch")
    assert rule().place_for(10**12) is None
    with pytest.raises(ValueError, match="go together"):
        rule(large_gb=1)


def test_the_size_of_a_run_is_that_of_all_its_reads() -> None:
    (planned,) = decide([rule(merge="topups")], [reads("a", ("old", 1), ("new", 1))], [], "new").planned
    assert planned.read_bytes == 2
