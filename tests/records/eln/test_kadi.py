"""The real Kadi4Mat server keeps the promises that the core relies on, and a lab's run can be read there."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parts as made
import pytest
from contract import Bench, NotebookContract
from fake import killed_at
from kadi_bench import KadiHands, notebook_of, text
from kadi_server import PYTHON, ROOT, Kadi
from tiny_run import EXPERIMENT, TinyLab

from labrelay.model.experiment import Experiment
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import sections
from labrelay.records.eln.port import ChangedThere
from labrelay.steps import eln
from labrelay.steps.announce import announce
from labrelay.steps.deliver import deliver
from labrelay.steps.eln_news import pull
from labrelay.steps.home import Home
from labrelay.steps.process import process


@pytest.fixture
def bench(kadi: Kadi, tmp_path: Path) -> Bench:
    return Bench(notebook_of(kadi), KadiHands(kadi), tmp_path.name)


class TestKadi(NotebookContract):
    closing = ("deleted",)


def test_a_record_whose_owner_took_our_right_away_is_locked(bench: Bench) -> None:
    external_id = bench.hands.announce("", f"locked {bench.name}", {"s1": ""})
    bench.notebook.write(external_id, made.status("received"), None)
    bench.hands.close(external_id, "locked")
    page = bench.notebook.read(external_id)
    assert (page.entry.state, page.entry.why) == ("locked", "our account may not read it")
    with pytest.raises(Undeliverable, match="locked"):
        bench.notebook.write(external_id, made.status("done"), None)


def test_a_record_that_we_may_read_and_not_change_is_locked(bench: Bench, kadi: Kadi) -> None:
    external_id = bench.hands.announce("", f"read only {bench.name}", {"s1": ""})
    path = f"/records/{external_id}/roles/users/{kadi.tokens['robot_id']}"
    assert kadi.api("person").patch(path, json={"name": "member"}).is_success
    assert bench.notebook.read(external_id).entry.why == "our account may not change it"


def test_what_people_write_beside_our_sections_stays(bench: Bench, kadi: Kadi, tmp_path: Path) -> None:
    external_id, hands = bench.entry(), KadiHands(kadi)
    hands.change(external_id, description="My question.", extras=[text("operator", "ada")])
    bench.write_all(external_id, made.all_parts(tmp_path))
    written = hands.record(external_id)
    hands.change(external_id, description=written["description"] + "\n\n## My conclusion\n\nIt works.")
    hands.upload(external_id, "notes.txt", b"mine")
    status = bench.digests(external_id)["status"]
    bench.notebook.write(external_id, made.status("done"), status)
    after = hands.record(external_id)
    assert after["description"].startswith("My question.\n\n## Labrelay: status")
    assert after["description"].endswith("## My conclusion\n\nIt works.")
    assert text("operator", "ada") in after["extras"]
    assert hands.file(external_id, "file:notes.txt")["size"] == 4


def test_numbers_are_typed_extras_with_units_and_a_changed_number_is_a_persons_edit(bench: Bench, kadi: Kadi) -> None:
    external_id, hands = bench.entry(), KadiHands(kadi)
    bench.notebook.write(external_id, made.results(31.5), None)
    wanted = bench.notebook.digest(made.results(31.5))
    extras = hands.record(external_id)["extras"]
    depth = next(e for e in extras[0]["value"][0]["value"] if e["key"] == "mean_depth")
    assert depth == {"type": "float", "key": "mean_depth", "value": 31.5, "unit": "×"}
    depth["value"] = 99.0
    hands.change(external_id, extras=extras)
    with pytest.raises(ChangedThere):
        bench.notebook.write(external_id, made.results(1.0), wanted)


def test_a_record_whose_identifier_nobody_may_see_is_refused_in_a_sentence(bench: Bench, kadi: Kadi) -> None:
    values = {"identifier": bench.identifier, "title": "not ours"}
    assert kadi.api("person").post("/records", json=values).is_success
    with pytest.raises(Undeliverable, match="denies our account the right"):
        bench.entry()


@pytest.mark.parametrize(
    ("who", "sentence"),
    [("expired", "does not take the token: Access token has expired"), ("powerless", "does not take the token")],
)
def test_a_token_that_does_not_work_is_said_and_not_tried_again(kadi: Kadi, who: str, sentence: str) -> None:
    notebook = notebook_of(kadi, who)
    with pytest.raises(Undeliverable, match=sentence) as refused:
        notebook.find("exp_0000000000000000")
    assert not refused.value.retryable


def test_check_names_what_the_token_lacks_and_what_is_not_there(kadi: Kadi) -> None:
    assert [p.code for p in notebook_of(kadi, "expired").check()] == ["ELN_ACCOUNT"]
    assert [p.code for p in notebook_of(kadi, "powerless").check()] == ["ELN_ACCOUNT"]
    [problem] = notebook_of(kadi, collection="4711").check()
    assert "there is no collection 4711" in problem.message


def test_samples_come_from_an_attached_table_too(kadi: Kadi, bench: Bench) -> None:
    person, hands = kadi.api("person"), KadiHands(kadi)
    values = {"identifier": f"table-{bench.identifier[4:]}", "title": "With a table", "tags": ["labrelay"]}
    made_there = person.post("/records", json=values).json()
    role = {"user": {"id": int(kadi.tokens["robot_id"])}, "role": {"name": "editor"}}
    assert person.post(f"/records/{made_there['id']}/roles/users", json=role).is_success
    hands.upload(str(made_there["id"]), "samples.csv", b"Sample ID;Barcode;Patient\ns1;ACGTACGT;p7\ns2;;p8\n")
    heard = {a.external_id: a for a in bench.notebook.announced_since(None).announcements}[str(made_there["id"])]
    assert [(s.name, s.barcode, s.attributes) for s in heard.samples] == [
        ("s1", "ACGTACGT", {"patient": "p7"}),
        ("s2", None, {"patient": "p8"}),
    ]


def test_a_section_that_lost_its_end_does_not_swallow_what_follows() -> None:
    text_there = sections.with_section("Mine before.", "status", "| ours |").replace(sections.closing("status"), "")
    grown = f"{text_there}\n\n# Mine after\n\nkept"
    again = sections.with_section(grown, "status", "| newer |")
    assert again.startswith("Mine before.")
    assert again.endswith("# Mine after\n\nkept")
    assert sections.body_of(again, "status") == "| newer |"


@pytest.fixture
def lab(kadi: Kadi, tmp_path: Path) -> TinyLab:
    lines = f'eln = "kadi"\neln_url = "{kadi.url}"\neln_token = "{kadi.tokens["robot"]}"\n'
    made_lab = TinyLab(tmp_path / "lab", settings=f'sandbox = "host"\nbase_url = "https://lab.test"\n{lines}')
    # One server for all tests: each has an experiment of its own name.
    made_lab.table.write_text(made_lab.table.read_text().replace(EXPERIMENT, name_of(tmp_path)))
    return made_lab


@pytest.fixture
def home(lab: TinyLab) -> Iterator[Home]:
    opened = lab.open()
    yield opened
    opened.close()


def name_of(folder: Path) -> str:
    return f"study {folder.name}"


def seen_by_kadis_own_client(kadi: Kadi, name: str) -> dict[str, Any]:
    reader = [PYTHON, ROOT / "tests" / "tools" / "kadi_reader.py", kadi.url, kadi.tokens["robot"]]
    done = subprocess.run([*reader, Experiment(name=name).id], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_run_from_its_announcement_to_its_verdict_is_read_by_kadis_own_client(
    home: Home, lab: TinyLab, kadi: Kadi, tmp_path: Path
) -> None:
    announce(home, lab.table)
    process(home, lab.run)
    found = seen_by_kadis_own_client(kadi, name_of(tmp_path))
    assert (found["title"], found["type"]) == (name_of(tmp_path), "experiment")
    rows = [line for line in found["description"].splitlines() if line.startswith("| ")]
    assert any(row.startswith("| alpha | done | count\\_reads 1.0.0") for row in rows)
    assert any(row.startswith("| beta | Read pairs | 30 |") and "warn" in row for row in rows)
    assert "(<https://lab.test/experiments/exp_" in found["description"]
    numbers = {fields["sample"]: fields for fields in map(typed, found["extras"][0]["value"])}
    assert {name: (n["read_pairs"], n["verdict"]) for name, n in numbers.items()} == {
        "alpha": (50.0, "pass"),
        "beta": (30.0, "warn"),
    }
    places = [home.path / "results", home.path / "instrument-runs"]
    ours = {hashlib.sha256(p.read_bytes()).hexdigest() for each in places for p in each.rglob("*") if p.is_file()}
    assert set(found["files"].values()) <= ours
    endings = {name.rsplit("-", 1)[-1] for name in found["files"]}
    assert {"results.csv", "report.html", "crate.json", "run.html"} <= endings
    assert not any(name.endswith(("fastq.gz", "bam")) for name in found["files"])


def typed(extra: dict[str, Any]) -> dict[str, Any]:
    return {field["key"]: field["value"] for field in extra["value"]}


def test_a_persons_edit_in_kadi_is_a_conflict_until_it_is_settled(
    home: Home, lab: TinyLab, kadi: Kadi, tmp_path: Path
) -> None:
    name, hands = name_of(tmp_path), KadiHands(kadi)
    announce(home, lab.table)
    deliver(home)
    external_id = str(hands.ok(hands.robot.get(f"/records/identifier/{Experiment(name=name).id}"))["id"])
    hands.edit(external_id, "status")
    assert eln.reconcile(home).conflicts == 1
    [line] = eln.status(home).parts
    assert (line.part, line.state) == ("status", "conflict")
    eln.settle(home, name, "status", "ours")
    assert "A word of my own" not in hands.record(external_id)["description"]
    assert eln.status(home).parts == ()


def test_a_record_that_was_put_into_the_bin_is_made_anew_when_a_person_says_so(
    home: Home, lab: TinyLab, kadi: Kadi, tmp_path: Path
) -> None:
    name, hands = name_of(tmp_path), KadiHands(kadi)
    announce(home, lab.table)
    deliver(home)
    identifier = Experiment(name=name).id
    hands.close(str(hands.ok(hands.robot.get(f"/records/identifier/{identifier}"))["id"]))
    assert "was deleted there" in eln.reconcile(home).problems[0]
    eln.settle(home, name, "entry", "ours")
    assert hands.robot.get(f"/records/identifier/{identifier}-2").is_success


@pytest.mark.parametrize("point", ["eln.made", "eln.written", "eln.told"])
def test_a_delivery_to_kadi_that_was_killed_is_made_up_for_and_doubles_nothing(
    home: Home, lab: TinyLab, kadi: Kadi, point: str, tmp_path: Path
) -> None:
    announce(home, lab.table)
    home.records.close()
    killed_at(point, lambda: deliver(home))
    assert deliver(home).waiting == 0
    description = seen_by_kadis_own_client(kadi, name_of(tmp_path))["description"]
    assert description.count(sections.opening("status")) == 1
    assert description.count("| alpha | announced |") == 1


def test_an_expired_token_is_said_by_status_and_nothing_is_lost(lab: TinyLab, kadi: Kadi, tmp_path: Path) -> None:
    settings = lab.home / "labrelay.toml"
    good = settings.read_text()
    settings.write_text(good.replace(kadi.tokens["robot"], kadi.tokens["expired"]))
    home = lab.open()
    announce(home, lab.table)
    deliver(home)
    assert "does not take the token: Access token has expired" in (eln.status(home).why or "")
    home.close()
    settings.write_text(good)
    mended = lab.open()
    assert eln.reconcile(mended).looked == 1
    assert (eln.status(mended).dead, eln.status(mended).why) == (0, None)
    mended.close()


def test_what_a_person_announces_in_kadi_is_told_in_the_persons_own_record(
    home: Home, lab: TinyLab, kadi: Kadi, tmp_path: Path
) -> None:
    hands = KadiHands(kadi)
    external_id = hands.announce("", f"own {tmp_path.name}", {"alpha": "TAAGGCGA", "beta": ""})
    pull(home)
    process(home, lab.run)
    record = hands.record(external_id)
    assert record["description"].startswith("What I want to find out.")
    assert "| alpha | done |" in record["description"]
    assert [extra["key"] for extra in record["extras"]] == ["experiment", "samples", "Labrelay"]
    assert [t.unchanged for t in pull(home).taken] == []
