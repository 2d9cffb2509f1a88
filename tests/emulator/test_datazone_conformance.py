"""Every emulated operation of DataZone, by plain boto3, and every answer held against botocore's service model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_datazone import FORM, Zone, run_event, zone
from response_model import Recorder

from labrelay.emulator.operation import HANDLERS

TYPES = "CreateFormType GetFormType CreateAssetType GetAssetType"
ASSETS = "CreateAsset GetAsset CreateAssetRevision ListAssetRevisions CreateListingChangeSet GetListing"
WORDS = "CreateGlossary GetGlossary CreateGlossaryTerm GetGlossaryTerm Search SearchListings SearchTypes"
LINEAGE = "PostLineageEvent GetLineageEvent ListLineageEvents GetLineageNode ListLineageNodeHistory"
DOMAINS = "CreateDomain GetDomain CreateProject GetProject"
EMULATED = set(f"{DOMAINS} {TYPES} {ASSETS} {WORDS} {LINEAGE}".split())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    with zone(tmp_path_factory.mktemp("datazone") / "data") as made:
        made.furnish()
        yield made


def test_every_operation_answers_as_the_service_model_says(lab: Zone) -> None:
    assert set(HANDLERS["datazone"]) == EMULATED
    client = lab.front.client("datazone")
    recorder = Recorder(client)
    tour(client, lab)
    assert recorder.succeeded() == EMULATED
    assert recorder.problems() == {}


def tour(client: Any, lab: Zone) -> None:
    role = "arn:aws:iam::123456789012:role/x"
    own = client.create_domain(name="tour", description="d", domainExecutionRole=role, tags={"a": "b"})["id"]
    assert client.get_domain(identifier=own)["status"] == "AVAILABLE"
    project = client.create_project(domainIdentifier=own, name="tour", description="d")["id"]
    client.get_project(domainIdentifier=own, identifier=project)
    there, owned = {"domainIdentifier": own}, {"owningProjectIdentifier": project}
    for revision in ("1", "2"):
        made = client.create_form_type(name="Sequenced", model={"smithy": FORM}, description="d", **there, **owned)
        assert made["revision"] == revision
    assert client.get_form_type(formTypeIdentifier="Sequenced", revision="1", **there)["model"] == {"smithy": FORM}
    form = {"typeIdentifier": "Sequenced", "typeRevision": "2", "required": True}
    client.create_asset_type(name="Sequenced", description="d", formsInput={"Sequenced": form}, **there, **owned)
    kind = client.get_asset_type(identifier="Sequenced", **there)
    assert set(kind["formsOutput"]) == {"AssetCommonDetailsForm", "Sequenced"}
    glossary = client.create_glossary(name="words", description="d", status="ENABLED", **there, **owned)["id"]
    client.get_glossary(identifier=glossary, **there)
    term = client.create_glossary_term(glossaryIdentifier=glossary, name="secret", shortDescription="s", **there)["id"]
    client.get_glossary_term(identifier=term, **there)
    filled = [{"formName": "Sequenced", "content": json.dumps({"code": "one"})}]
    said = {"description": "d", "glossaryTerms": [term], "formsInput": filled, **there}
    made = client.create_asset(name="one", typeIdentifier="Sequenced", externalIdentifier="run_1", **said, **owned)
    second = client.create_asset_revision(identifier=made["id"], name="two", **said)
    assert (made["revision"], second["revision"]) == ("1", "2")
    page = client.list_asset_revisions(identifier=made["id"], maxResults=1, **there)
    more = client.list_asset_revisions(identifier=made["id"], nextToken=page["nextToken"], **there)
    assert [each["revision"] for each in (*page["items"], *more["items"])] == ["2", "1"]
    asked = {"entityIdentifier": made["id"], "entityType": "ASSET", **there}
    listing = client.create_listing_change_set(action="PUBLISH", **asked)
    again = client.create_listing_change_set(action="PUBLISH", **asked)
    assert (again["listingId"], again["listingRevision"], again["status"]) == (listing["listingId"], "2", "ACTIVE")
    shown = client.get_listing(identifier=listing["listingId"], **there)
    assert shown["item"]["assetListing"]["glossaryTerms"] == [{"name": "secret"}]
    assert client.get_asset(identifier=made["id"], **there)["listing"]["listingStatus"] == "ACTIVE"
    look(client, there)
    event = run_event(["in"], ["out"])
    posted = client.post_lineage_event(event=json.dumps(event).encode(), **there)["id"]
    stored = client.get_lineage_event(identifier=posted, **there)
    assert (json.loads(stored["event"].read()), stored["processingStatus"]) == (event, "SUCCESS")
    assert stored["eventTime"].isoformat() == "2026-11-01T10:00:00+00:00"
    client.list_lineage_events(**there)
    client.get_lineage_node(identifier="ns/out", **there)
    client.list_lineage_node_history(identifier="ns/out", **there)


def look(client: Any, there: dict[str, str]) -> None:
    forms = ["FORMS"]
    [found] = client.search(searchScope="ASSET", searchText="one", additionalAttributes=forms, **there)["items"]
    assert found["assetItem"]["externalIdentifier"] == "run_1"
    assert client.search(searchScope="GLOSSARY", searchText="words", **there)["totalMatchCount"] == 1
    assert client.search(searchScope="GLOSSARY_TERM", **there)["totalMatchCount"] == 1
    counted = [{"attribute": "entityType"}]
    page = client.search_listings(searchText="one", additionalAttributes=forms, aggregations=counted, **there)
    assert page["aggregates"][0]["items"] == [{"value": "Sequenced", "count": 1}]
    for scope in ("FORM_TYPE", "ASSET_TYPE"):
        assert client.search_types(searchScope=scope, managed=False, **there)["totalMatchCount"] == 1
        assert client.search_types(searchScope=scope, managed=True, **there)["items"] == []


NOTHING = "doesn't exist. Try creating"
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("create_asset", {"typeIdentifier": "Nothing"}, "ResourceNotFoundException", "The given Asset's input resource"),
    ("create_asset", {"name": "x" * 257}, "ValidationException", "length less than or equal to 256"),
    ("create_asset", {"formsInput": []}, "ValidationException", "Form Sequenced is required"),
    ("create_asset", {"glossaryTerms": ["none"]}, "ResourceNotFoundException", f"The given GlossaryTerm {NOTHING}"),
    ("create_asset", {"owningProjectIdentifier": "none"}, "ResourceNotFoundException", f"The given Project {NOTHING}"),
    ("create_asset", {"externalIdentifier": "x" * 601}, "ValidationException", "less than or equal to 600"),
    ("get_asset", {"identifier": "none"}, "ResourceNotFoundException", f"The given Asset {NOTHING}"),
    ("get_listing", {"identifier": "none"}, "ResourceNotFoundException", f"The given Listing {NOTHING}"),
    ("get_lineage_node", {"identifier": "none/x"}, "ResourceNotFoundException", f"The given LineageNode {NOTHING}"),
    ("get_form_type", {"formTypeIdentifier": "None"}, "ResourceNotFoundException", f"The given FormType {NOTHING}"),
    ("get_form_type", {"formTypeIdentifier": ".x"}, "ValidationException", "regular expression"),
    ("create_form_type", {"name": "1bad"}, "ValidationException", "regular expression"),
    ("search", {"searchScope": "EVERYTHING"}, "ValidationException", "enum value set"),
    ("search", {"searchScope": "ASSET", "maxResults": 51}, "ValidationException", "less than or equal to 50"),
    ("search", {"searchScope": "ASSET", "nextToken": "x"}, "ValidationException", "nextToken"),
    ("create_project", {"name": "sequencing"}, "ConflictException", "Conflict with project"),
    ("create_project", {"name": "no/slash"}, "ValidationException", "regular expression"),
]


@pytest.mark.parametrize(("operation", "asked", "code", "why"), REFUSED)
def test_what_aws_refuses_is_refused_as_the_service_model_says(
    lab: Zone, operation: str, asked: dict[str, Any], code: str, why: str
) -> None:
    client = lab.front.client("datazone")
    recorder = Recorder(client)
    form = {"formName": "Sequenced", "content": json.dumps({"code": "x"})}
    usual: dict[str, dict[str, Any]] = {
        "create_asset": {"name": "x", "typeIdentifier": "Sequenced", "formsInput": [form], **lab.owned},
        "create_form_type": {"model": {"smithy": FORM}, **lab.owned},
    }
    with pytest.raises(ClientError, match=why) as caught:
        getattr(client, operation)(domainIdentifier=lab.domain, **{**usual.get(operation, {}), **asked})
    assert caught.value.response["Error"]["Code"] == code
    assert recorder.problems() == {}


def test_a_domain_that_is_none_is_refused_by_its_pattern_and_an_unknown_one_is_not_found(lab: Zone) -> None:
    with pytest.raises(ClientError, match=r"pattern: dzd\[-_\]"):
        lab.client.get_domain(identifier="domain")
    with pytest.raises(lab.client.exceptions.ResourceNotFoundException, match="The given Domain doesn't exist"):
        lab.client.get_domain(identifier="dzd_nothing")


def test_what_is_not_emulated_says_so(lab: Zone) -> None:
    with pytest.raises(ClientError, match="ListProjects of Amazon DataZone is not emulated"):
        lab.do("list_projects")
