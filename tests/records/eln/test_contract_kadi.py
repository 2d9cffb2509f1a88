"""The real Kadi4Mat server keeps the promises that the core relies on, through our adapter."""

from pathlib import Path

import parts as made
import pytest
from contract import Bench, NotebookContract
from kadi_bench import KadiHands, notebook_of, text
from kadi_server import Kadi

from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import sections
from labrelay.records.eln.port import ChangedThere


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
    text_there = sections.with_section("Mine before.", "status", "ours").replace(sections.closing("status"), "")
    grown = f"{text_there}\n\n# Mine after\n\nkept"
    again = sections.with_section(grown, "status", "newer")
    assert again.startswith("Mine before.")
    assert again.endswith("# Mine after\n\nkept")
    assert sections.body_of(again, "status") == "newer"
