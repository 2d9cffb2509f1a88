"""Results and their reads are published to a real (emulated) DataZone once, as they are, and joined by lineage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import seed
from emulated_datazone import Zone, zone
from sqlalchemy import select, update
from tiny_run import TinyLab

from labrelay.emulator.faults import Plan, read_plan
from labrelay.model.errors import Conflict, NotFound, UsageError
from labrelay.model.qc import Verdict
from labrelay.records import outbox
from labrelay.records.catalog.datazone import DataZone
from labrelay.records.catalog.datazone_setup import Undelivered
from labrelay.records.schema import ExperimentRow, LinkRow, OutboxRow, SampleRow, WorkflowRunRow
from labrelay.steps import catalogue
from labrelay.steps.announce import announce
from labrelay.steps.catalogue import catalogue_of, post_result, publish, publish_all
from labrelay.steps.deliver import deliver
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.override import override_verdict
from labrelay.steps.process import process

SETTINGS = """sandbox = "host"
aws_region = "us-east-1"
aws_endpoint_url = "{endpoint}"
datazone_domain_id = "{domain}"
datazone_project_id = "{project}"
openlineage_file = "told/events.jsonl"
[project_sensitivity]
measles = "restricted"
"""


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "emulator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "emulator")


@pytest.fixture
def plan() -> Plan:
    return Plan()


@pytest.fixture
def lab(tmp_path: Path, plan: Plan) -> Iterator[Zone]:
    with zone(tmp_path / "emulator", plan) as made:
        yield made


@pytest.fixture
def home(lab: Zone, tmp_path: Path) -> Iterator[Home]:
    """A home with two recorded results of an experiment."""
    opened = home_in(tmp_path / "home", lab)
    seed.seed(opened.records, 2, outputs=1)
    yield opened
    opened.close()


def home_in(path: Path, lab: Zone) -> Home:
    init_home(path)
    (path / "labrelay.toml").write_text(settings(lab))
    return open_home(path)


def settings(lab: Zone) -> str:
    return SETTINGS.format(endpoint=lab.front.endpoint, domain=lab.domain, project=lab.project)


def run_of(home: Home, place: int = 0) -> str:
    with home.records.read() as session:
        return list(session.scalars(select(WorkflowRunRow.id).order_by(WorkflowRunRow.result_path)))[place]


def form_of(lab: Zone, asset: str) -> dict[str, Any]:
    forms = {f["formName"]: json.loads(f["content"]) for f in lab.do("get_asset", identifier=asset)["formsOutput"]}
    return forms["LabrelayEntryForm"] | forms["AssetCommonDetailsForm"]


def calls(lab: Zone) -> Counter[str]:
    return Counter({name.removeprefix("datazone:"): n for name, n in lab.front.front.counts.items()})


def test_a_result_and_its_reads_are_found_with_who_answers_for_them_and_nothing_personal(home: Home, lab: Zone) -> None:
    with home.records.write() as session:
        session.execute(update(ExperimentRow).values(owner="Virology", external_id="ELN-7"))
    [(reads, _), (result, told)] = publish(home, run_of(home))
    assert lab.listed("SMP00000") == [reads.name, result.name]
    shown = form_of(lab, told.asset_id)
    with home.records.read() as session:
        sample = session.scalars(select(SampleRow).where(SampleRow.name == "SMP00000")).one()
    said = {name: shown[name] for name in ("owner", "project", "sensitivity", "verdict", "workflow", "samples")}
    assert said == {
        "owner": "Virology",
        "project": "measles",
        "sensitivity": "restricted",
        "verdict": "pass",
        "workflow": "viral_variants",
        "samples": "SMP00000",
    }
    assert shown["sourceIdentifier"] == f"labrelay.result/{result.id}"
    everything = json.dumps(lab.do("get_asset", identifier=told.asset_id), default=str)
    for personal in (sample.subject, *sample.aliases, *sample.attributes.values()):
        assert personal not in everything
    listing = lab.do("get_listing", identifier=told.listing_id)["item"]["assetListing"]
    terms = {term["name"] for term in listing["glossaryTerms"]}
    assert terms == {"sensitivity: restricted", "verdict: pass"}


def test_publishing_again_writes_nothing(home: Home, lab: Zone) -> None:
    publish(home, run_of(home))
    before = calls(lab)
    done = publish(home, run_of(home))
    assert [told.changed for _entry, told in done] == [False, False]
    made = {name: n for name, n in (calls(lab) - before).items() if name.startswith("Create")}
    assert made == {}
    assert len(lab.do("list_lineage_events")["items"]) == 1


def test_lineage_leads_from_the_result_to_its_reads(home: Home, lab: Zone) -> None:
    [(_, reads), (result, told)] = publish(home, run_of(home))
    node = lab.do("get_lineage_node", identifier=f"amazon.datazone.asset/{told.asset_id}")
    assert node["sourceIdentifier"] == f"labrelay.result/{result.id}"
    [run] = node["upstreamNodes"]
    job_run = lab.do("get_lineage_node", identifier=run["id"])
    assert job_run["sourceIdentifier"].startswith("labrelay.viral_variants/")
    [above] = job_run["upstreamNodes"]
    found = lab.do("get_lineage_node", identifier=above["id"])
    assert json.loads(found["formsOutput"][0]["content"])["assetId"] == reads.asset_id


def test_a_result_that_was_replaced_says_by_which(home: Home, lab: Zone) -> None:
    old, new = run_of(home, 0), run_of(home, 1)
    [_, (_, first)] = publish(home, old)
    with home.records.write() as session:
        session.get_one(WorkflowRunRow, old).replaced_by = new
        post_result(home, session, new, "token")
    assert deliver(home).confirmed == 2
    asset = lab.do("get_asset", identifier=first.asset_id)
    assert form_of(lab, first.asset_id)["supersededBy"] == new
    assert asset["revision"] == "3"  # created, joined to lineage, superseded
    assert asset["listing"]["listingStatus"] == "ACTIVE"


def test_a_revision_whose_listing_failed_is_published_by_the_next_try(
    home: Home, lab: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(home)
    publish(home, run)
    with home.records.write() as session:
        session.execute(update(WorkflowRunRow).where(WorkflowRunRow.id == run).values(verdict="fail"))

    def down(_self: DataZone, _asset: object) -> None:
        raise Undelivered("throttled")

    with monkeypatch.context() as patch:
        patch.setattr(DataZone, "_list", down)
        with pytest.raises(Undelivered):
            publish(home, run)
    assert [told.changed for _entry, told in publish(home, run)] == [False, True]
    [_, (_, told)] = publish(home, run)
    assert not told.changed
    listing = lab.do("get_listing", identifier=told.listing_id)["item"]["assetListing"]
    assert listing["assetRevision"] == told.revision
    assert {term["name"] for term in listing["glossaryTerms"]} >= {"verdict: fail"}


def test_an_asset_whose_id_or_answer_was_lost_is_found_again(home: Home, lab: Zone) -> None:
    [_, (entry, told)] = publish(home, run_of(home))
    with home.records.write() as session:
        for row in session.scalars(select(LinkRow)):
            session.delete(row)
    [_, (_, again)] = publish(home, run_of(home))
    assert (again.asset_id, again.changed) == (told.asset_id, False)
    assert lab.do("search", searchScope="ASSET", searchText=entry.id)["totalMatchCount"] == 1


def test_what_was_deleted_over_there_is_published_anew(home: Home, lab: Zone) -> None:
    [_, (entry, told)] = publish(home, run_of(home))
    with lab.front.service.state.write() as state:
        state.delete("dzAsset", told.asset_id, lab.domain)
    [_, (_, again)] = publish(home, run_of(home))
    assert again.asset_id != told.asset_id
    with home.records.read() as session:
        assert session.get_one(LinkRow, (entry.id, "datazone")).external_id == again.asset_id


def faults(tmp_path: Path, text: str) -> Plan:
    (tmp_path / "plan.toml").write_text(text)
    return read_plan(tmp_path / "plan.toml")


LOST = """
[[fault]]
operation = "datazone:CreateAsset"
do = "lose"
times = 2
[[fault]]
operation = "datazone:CreateAssetRevision"
do = "lose"
times = 1
[[fault]]
operation = "datazone:CreateListingChangeSet"
do = "throttle"
times = 2
"""


def test_lost_answers_and_throttling_leave_each_thing_once(tmp_path: Path) -> None:
    with zone(tmp_path / "emulator", faults(tmp_path, LOST)) as lab:
        home = home_in(tmp_path / "home", lab)
        seed.seed(home.records, 1, outputs=1)
        done = publish(home, run_of(home))
        assert lab.do("search", searchScope="ASSET")["totalMatchCount"] == 2
        for _entry, told in done:
            revisions = lab.do("list_asset_revisions", identifier=told.asset_id)["items"]
            assert [each["revision"] for each in revisions] == ["2", "1"]
        home.close()


DOWN = """
[[fault]]
operation = "datazone:GetFormType"
do = "fail"
code = "AccessDeniedException"
message = "User is not permitted to perform operation: GetFormType"
"""


def test_a_refusal_waits_with_its_reason_and_holds_up_no_other_channel(tmp_path: Path) -> None:
    with zone(tmp_path / "emulator", faults(tmp_path, DOWN)) as lab:
        home = home_in(tmp_path / "home", lab)
        seed.seed(home.records, 1, outputs=1)
        with home.records.write() as session:
            post_result(home, session, run_of(home), "token")
        done = deliver(home)
        with home.records.read() as session:
            row = session.scalars(select(OutboxRow).where(OutboxRow.channel == "catalogue")).one()
        assert (done.confirmed, row.state) == (0, "dead")
        assert "GetFormType" in (row.error or "")
        home.close()


def test_nothing_is_queued_without_a_domain(tmp_path: Path) -> None:
    init_home(tmp_path / "home")
    home = open_home(tmp_path / "home")
    seed.seed(home.records, 1, outputs=1)
    with home.records.write() as session:
        post_result(home, session, run_of(home), "token")
        assert outbox.waiting(session) == {}
    with pytest.raises(UsageError, match="datazone_domain_id"):
        catalogue_of(home)
    home.close()


def test_check_makes_what_is_missing_once_and_names_it(home: Home, lab: Zone) -> None:
    first, again = catalogue_of(home).check(), catalogue_of(home).check()
    assert any(line.startswith("made the form type LabrelayEntryForm revision 1") for line in first)
    assert [line for line in again if line.startswith("made")] == []
    assert calls(lab)["CreateFormType"] == 1


def test_a_term_that_another_process_made_meanwhile_is_taken(home: Home, lab: Zone, monkeypatch: Any) -> None:
    from labrelay.records.catalog.datazone_setup import Setup

    known = Setup._glossary

    def not_seen_yet(self: Setup) -> str | None:
        monkeypatch.setattr(Setup, "_glossary", known)
        return None

    catalogue_of(home).check()
    monkeypatch.setattr(Setup, "_glossary", not_seen_yet)
    with lab.front.service.state.write() as state:  # an answer to the token is not remembered for ever
        state._db.execute("DELETE FROM tokens")
    assert len(catalogue_of(home).check()) == 3


def test_a_project_that_is_not_there_is_a_mistake(home: Home, lab: Zone) -> None:
    from labrelay.records.catalog.datazone import DataZone
    from labrelay.steps.cloud import aws_of

    with pytest.raises(NotFound, match="look up the project nothing"):
        DataZone(aws_of(home.settings), lab.domain, "nothing").check()


def test_a_form_type_of_another_project_is_a_conflict(home: Home, lab: Zone) -> None:
    other = lab.do("create_project", name="other")["id"]
    model = {"smithy": "structure LabrelayEntryForm {}"}
    lab.do("create_form_type", name="LabrelayEntryForm", model=model, owningProjectIdentifier=other)
    with pytest.raises(Conflict, match="make the form type LabrelayEntryForm"):
        catalogue_of(home).check()


def test_all_results_are_published_with_types_looked_up_once_and_searched(home: Home, lab: Zone) -> None:
    assert len(list(publish_all(home, None))) == 4
    assert calls(lab)["GetFormType"] == 1
    found = catalogue_of(home).search("SMP00001", 10)
    assert {(each.kind, each.entity_id) for each in found if each.kind == "result"} == {("result", run_of(home, 1))}
    assert len(catalogue_of(home).search("measles", 3)) == 3


def test_the_main_job_publishes_and_tells_without_being_asked(lab: Zone, tmp_path: Path) -> None:
    tiny = TinyLab(tmp_path / "lab", samples={"alpha": 50}, settings=settings(lab))
    home = tiny.open()
    announce(home, tiny.table)
    assert process(home, tiny.run).failed == []
    assert len(lab.listed("alpha")) == 2
    with home.records.read() as session:
        states = Counter(tuple(row) for row in session.execute(select(OutboxRow.channel, OutboxRow.state)))
        run = session.scalars(select(WorkflowRunRow)).one()
    assert states[("catalogue", "confirmed")] == 1
    assert states[("openlineage-file", "confirmed")] == 2
    lines = [json.loads(line) for line in (tiny.home / "told" / "events.jsonl").read_text().splitlines()]
    assert [line["eventType"] for line in lines] == ["START", "COMPLETE"]
    assert len({line["run"]["runId"] for line in lines}) == 1
    names = {(each["namespace"], each["name"]) for each in lines[1]["outputs"]}
    assert ("labrelay.result", run.id) in names
    assert ("labrelay.results", f"{run.result_path}/metrics.json") in names
    reads = [each for each in lines[0]["inputs"] if each["namespace"] == "labrelay.objects"]
    assert len(reads) == 2
    assert all(len(each["facets"]["labrelay_checksum"]["value"]) == 64 for each in reads)
    assert catalogue.recorded(home) == [run.id]
    found = session_words(home, "Counted reads")
    assert found == {"workflow run": 1}
    override_verdict(home, run.id, Verdict.FAIL, "the wrong tube")
    assert deliver(home).waiting == 0
    [asset] = (row.external_id for row in links_of(home) if row.entity_id == run.id)
    assert form_of(lab, asset)["verdict"] == "fail"
    home.close()


def links_of(home: Home) -> list[LinkRow]:
    with home.records.read() as session:
        return list(session.scalars(select(LinkRow).where(LinkRow.system == "datazone")))


def session_words(home: Home, text: str) -> dict[str, int]:
    from labrelay.records.search import search

    with home.records.read() as session:
        return {kind: n for kind, n in search(session, text).totals.items() if n}
