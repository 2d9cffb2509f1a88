"""What is published to the emulated DataZone is found, has revisions, and is joined to lineage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_datazone import Zone, run_event, zone

from labrelay.emulator.datazone.filters import fits
from labrelay.emulator.datazone.smithy import NotSmithy, read_form


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Zone]:
    with zone(tmp_path / "data") as made:
        made.furnish()
        yield made


def test_only_what_is_published_is_found_among_the_listings(lab: Zone) -> None:
    asset = lab.asset("alpha-7")
    assert lab.listed("alpha-7") == []
    assert lab.do("search", searchScope="ASSET", searchText="ALPHA-7")["totalMatchCount"] == 1
    assert lab.publish(asset["id"])["status"] == "CREATING"
    assert lab.listed("alpha-7") == ["alpha-7"]
    lab.revise(asset["id"], "beta-8")
    assert (lab.listed("alpha-7"), lab.listed("beta-8")) == (["alpha-7"], [])
    lab.publish(asset["id"])
    assert (lab.listed("alpha-7"), lab.listed("beta-8")) == ([], ["beta-8"])
    lab.publish(asset["id"], action="UNPUBLISH")
    assert lab.listed("beta-8") == []


def test_a_revision_holds_what_it_was_given_and_the_one_before_stays(lab: Zone) -> None:
    asset = lab.asset("one", description="first")
    lab.revise(asset["id"], "two")
    last, first = (lab.do("get_asset", identifier=asset["id"], **which) for which in ({}, {"revision": "1"}))
    assert (last["name"], last["revision"], "description" in last) == ("two", "2", False)
    assert (first["name"], first["description"]) == ("one", "first")
    assert json.loads(last["formsOutput"][0]["content"]) == {"code": "two"}


def test_a_repeated_token_is_the_same_asset_and_another_request_with_it_is_a_conflict(lab: Zone) -> None:
    made = [lab.asset("one", clientToken="t")["id"] for _ in range(3)]
    assert len(set(made)) == 1
    with pytest.raises(lab.client.exceptions.ConflictException):
        lab.asset("two", clientToken="t")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"reads": 1}, "requires the field code"),
        ({"code": "x", "more": 1}, "has no field more"),
        ({"code": "x", "reads": "many"}, "is no Integer"),
        ({"code": "x", "reads": True}, "is no Integer"),
        ([], "not a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_a_form_that_is_not_filled_in_as_its_type_says_is_refused(lab: Zone, content: Any, why: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(lab.client.exceptions.ValidationException, match=why):
        lab.asset("x", formsInput=[{"formName": "Sequenced", "content": text}])


def test_a_form_of_an_older_revision_is_refused_in_the_words_of_aws(lab: Zone) -> None:
    model = {"smithy": "structure Sequenced { code: String }"}
    lab.do("create_form_type", name="Sequenced", model=model, **lab.owned)
    form = {"typeIdentifier": "Sequenced", "typeRevision": "2", "required": True}
    lab.do("create_asset_type", name="Sequenced", formsInput={"Sequenced": form}, **lab.owned)
    old = {"formName": "Sequenced", "typeIdentifier": "Sequenced", "typeRevision": "1", "content": "{}"}
    with pytest.raises(ClientError, match="expected form Sequenced@2 but was provided Sequenced@1"):
        lab.asset("x", formsInput=[old])
    gone = {**form, "typeIdentifier": "Nothing", "typeRevision": "1"}
    with pytest.raises(ClientError, match=f"Object type Form#{lab.domain}#Nothing with version 1 not found"):
        lab.do("create_asset_type", name="Other", formsInput={"Nothing": gone}, **lab.owned)


def test_names_of_types_belong_to_the_project_that_made_them(lab: Zone) -> None:
    other = lab.do("create_project", name="other")["id"]
    with pytest.raises(lab.client.exceptions.ConflictException, match="Conflict with form type Sequenced"):
        lab.do(
            "create_form_type",
            name="Sequenced",
            model={"smithy": "structure Sequenced {}"},
            owningProjectIdentifier=other,
        )


def test_a_glossary_has_each_term_once(lab: Zone) -> None:
    glossary = lab.do("create_glossary", name="words", **lab.owned)["id"]
    lab.do("create_glossary_term", glossaryIdentifier=glossary, name="secret")
    with pytest.raises(lab.client.exceptions.ConflictException, match="Conflict with businessGlossaryTerm"):
        lab.do("create_glossary_term", glossaryIdentifier=glossary, name="secret")
    with pytest.raises(lab.client.exceptions.ConflictException, match=f"Conflict with businessGlossary {glossary}"):
        lab.do("create_glossary", name="words", **lab.owned)


def test_lineage_meets_the_assets_whose_revision_names_the_same_source(lab: Zone) -> None:
    reads, result = (lab.asset(code)["id"] for code in ("reads", "result"))
    lab.revise(reads, "reads", "ns/reads-1")
    lab.tell(run_event(["reads-1"], ["result-1"]))
    asset = f"amazon.datazone.asset/{result}"
    with pytest.raises(lab.client.exceptions.ResourceNotFoundException):
        lab.do("get_lineage_node", identifier=asset)  # nothing says yet what lineage calls it
    lab.revise(result, "result", "ns/result-1")
    made = lab.do("get_lineage_node", identifier=asset)
    assert json.loads(made["formsOutput"][0]["content"])["assetId"] == result
    [run] = made["upstreamNodes"]
    job_run = lab.do("get_lineage_node", identifier=run["id"])
    assert job_run["sourceIdentifier"].startswith("ns.align/")
    [above] = job_run["upstreamNodes"]
    assert lab.do("get_lineage_node", identifier=above["id"])["sourceIdentifier"] == "ns/reads-1"
    assert lab.do("get_lineage_node", identifier=f"amazon.datazone.asset/{reads}")["downstreamNodes"][0] == run


def test_the_same_event_again_is_the_same_and_each_time_is_a_version(lab: Zone) -> None:
    event = run_event(["a"], ["b"])
    told = {lab.do("post_lineage_event", event=json.dumps(event).encode(), clientToken="t")["id"] for _ in range(2)}
    assert len(told) == 1
    lab.tell(event | {"eventTime": "2026-11-02T10:00:00Z"})
    history = lab.do("list_lineage_node_history", identifier="ns/b")["nodes"]
    assert [node["eventTimestamp"].day for node in history] == [2, 1]
    assert [item["eventTime"].day for item in lab.do("list_lineage_events")["items"]] == [2, 1]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "Only open-lineage run event are supported"),
        (json.dumps({"eventTime": "x", "dataset": {}}).encode(), "Only open-lineage run event are supported"),
        (json.dumps(run_event([], [], eventType="DONE")).encode(), "eventType is none of START"),
        (json.dumps(run_event([], [], run={"runId": "7"})).encode(), "runId is no UUID"),
        (json.dumps(run_event([], [], eventTime="today")).encode(), "eventTime is no time"),
        (json.dumps(run_event([], [], producer="")).encode(), "producer is missing"),
        (
            json.dumps(run_event([], []) | {"outputs": [{"name": "x"}]}).encode(),
            r"outputs\[0\] needs namespace and name",
        ),
        (b" " * 300_001, "less than or equal to 300000"),
    ],
)
def test_only_run_events_as_the_specification_has_them_are_taken(lab: Zone, event: bytes, why: str) -> None:
    with pytest.raises(lab.client.exceptions.ValidationException, match=why):
        lab.do("post_lineage_event", event=event)
    assert lab.do("list_lineage_events")["items"] == []


def test_what_was_published_outlives_the_emulator(tmp_path: Path) -> None:
    with zone(tmp_path / "data") as lab:
        lab.furnish()
        lab.publish(lab.asset("kept")["id"])
        domain = lab.domain
    with zone(tmp_path / "data") as again:
        found = again.client.search_listings(domainIdentifier=domain, searchText="kept")["items"]
        assert [item["assetListing"]["name"] for item in found] == ["kept"]


def test_smithy_of_forms_is_read_as_people_write_it() -> None:
    text = """namespace dzd_1
    // what was sequenced
    @length(max: 3)
    list Codes { member: smithy.api#String }
    @amazon.datazone#displayname(defaultName: "A {form}")
    structure F {
      @required @documentation("a, b") @amazon.datazone#searchable(modes:["TECHNICAL"])
      code: smithy.api#String,
      codes: Codes
    }"""
    form = read_form(text, "F")
    assert (form.members["code"].required, form.members["code"].searchable, form.lists) == (
        True,
        True,
        {"Codes": "String"},
    )
    assert list(form.problems({"code": "a", "codes": ["b"]})) == []
    assert list(form.problems({"code": "a", "codes": [1]})) == ["The field codes of form F is no Codes"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("structure F {", "Unexpected end"),
        ("structure G {}", "no structure F"),
        ("structure F { a }", "Expected :"),
        ("structure F { a: Nothing }", "not a known shape"),
        ("structure F { a: String a: String }", "twice"),
        ("service F {}", "nothing that a form is made of"),
        ("structure F { a: String } ;", "Unexpected ';'"),
        ("list F { items: String }", "needs one member"),
    ],
)
def test_what_is_no_form_type_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(NotSmithy, match=why):
        read_form(text, "F")


def test_filters_compare_combine_and_look_into_lists() -> None:
    item = {"name": "alpha", "reads": 7, "terms": ["a", "b"]}

    def one(attribute: str, operator: str = "EQ", **value: Any) -> dict[str, Any]:
        return {"filter": {"attribute": attribute, "operator": operator, **value}}

    assert fits(item, one("name", value="alpha"))
    assert fits(item, one("terms", value="b"))
    assert fits(
        item,
        {
            "and": [
                one("reads", "GE", intValue=7),
                {"or": [one("name", value="x"), one("name", "TEXT_SEARCH", value="LPH")]},
            ]
        },
    )
    assert not fits(item, one("reads", "GT", intValue=7))
    assert not fits(item, one("name", "LT", intValue=7))
    assert not fits(item, one("nothing", value="x"))
