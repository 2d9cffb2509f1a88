"""What boto3 does not check is refused here, every problem at once and by the member's name."""

from __future__ import annotations

from typing import Any

import pytest

from labrelay.emulator import shapes
from labrelay.emulator.routing import operation_model

ROLE = "arn:aws:iam::123456789012:role/Import"
SOURCE = {
    "sourceFiles": {"source1": "s3://bucket/a.fastq.gz"},
    "sourceFileType": "FASTQ",
    "subjectId": "s",
    "sampleId": "n",
    "referenceArn": "arn:aws:omics:us-east-1:123456789012:referenceStore/1234567890/reference/1234567890",
}
IMPORT = {"sequenceStoreId": "1234567890", "roleArn": ROLE, "sources": [SOURCE]}


def problems(operation: str, params: dict[str, Any]) -> list[str]:
    return shapes.read(operation_model(operation).input_shape, params)[1]


REFUSED = [
    ("CreateSequenceStore", {"name": "x" * 200}, "'name'", "less than or equal to 127"),
    ("CreateSequenceStore", {"name": ""}, "'name'", "greater than or equal to 1"),
    ("CreateSequenceStore", {"name": "two\nlines"}, "'name'", "regular expression"),
    ("CreateSequenceStore", {}, "'name'", "must not be null"),
    ("CreateSequenceStore", {"name": None}, "'name'", "must not be null"),
    ("CreateSequenceStore", {"name": 7}, "'name'", "must be a string"),
    ("CreateSequenceStore", {"name": "x", "tags": {"k" * 129: "v"}}, "'tags.key'", "less than or equal to 128"),
    ("CreateSequenceStore", {"name": "x", "tags": ["a"]}, "'tags'", "must be an object"),
    ("StartReadSetImportJob", {**IMPORT, "sources": [SOURCE] * 101}, "'sources'", "less than or equal to 100"),
    ("StartReadSetImportJob", {**IMPORT, "sources": []}, "'sources'", "greater than or equal to 1"),
    ("StartReadSetImportJob", {**IMPORT, "sources": {}}, "'sources'", "must be a list"),
    (
        "StartReadSetImportJob",
        {**IMPORT, "sources": [SOURCE, {**SOURCE, "sourceFileType": "SAM"}]},
        "'sources.2.member.sourceFileType'",
        "enum value set: [FASTQ, BAM, CRAM, UBAM]",
    ),
    (
        "UploadReadSetPart",
        {
            "sequenceStoreId": "1234567890",
            "uploadId": "1234567890",
            "partSource": "SOURCE1",
            "partNumber": 10001,
            "payload": b"",
        },
        "'partNumber'",
        "less than or equal to 10000",
    ),
    ("GetRun", {"id": "abc"}, "'id'", "[0-9]+"),
    ("GetRun", {"id": "1\n"}, "'id'", "[0-9]+"),
    ("ListRuns", {"maxResults": 0}, "'maxResults'", "greater than or equal to 1"),
    ("ListRuns", {"maxResults": 101}, "'maxResults'", "less than or equal to 100"),
    ("ListRuns", {"maxResults": "many"}, "'maxResults'", "whole number"),
    ("ListRuns", {"maxResults": True}, "'maxResults'", "whole number"),
    ("ListRuns", {"status": "DONE"}, "'status'", "enum value set"),
    (
        "ListReadSets",
        {"sequenceStoreId": "1234567890", "filter": {"createdAfter": "soon"}},
        "'filter.createdAfter'",
        "a time",
    ),
    ("CreateWorkflow", {"requestId": "r", "definitionZip": "no base64!"}, "'definitionZip'", "base64"),
    (
        "StartRunBatch",
        {"requestId": "r", "defaultRunSetting": {"workflowId": "1", "roleArn": ROLE}, "batchRunSettings": {}},
        "'batchRunSettings'",
        "exactly one of",
    ),
    ("GetRun", {"id": "1", "export": "DEFINITION"}, "'export'", "must be a list"),
]


@pytest.mark.parametrize(("operation", "params", "member", "why"), REFUSED)
def test_a_value_that_the_model_forbids_is_refused_by_name(
    operation: str, params: dict[str, Any], member: str, why: str
) -> None:
    found = problems(operation, params)
    assert any(why in problem for problem in found)
    assert all(f"at {member} failed" in problem for problem in found)


def test_all_problems_are_told_at_once() -> None:
    found = problems("CreateSequenceStore", {"name": "\n", "description": "\t", "clientToken": "x" * 128})
    assert [part.split("'")[3] for part in found] == ["name", "description", "clientToken"]


def test_what_the_model_allows_has_no_problem() -> None:
    assert problems("StartReadSetImportJob", IMPORT) == []
    assert problems("CreateSequenceStore", {"name": "Zähler 5 µl | 配列 ∑", "unknown": "member"}) == []


@pytest.mark.parametrize(
    "written",
    ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.000", 1769860800, 1769860800.0],
)
def test_times_are_read_into_one_form_that_compares_as_text(written: Any) -> None:
    params, found = shapes.read(
        operation_model("ListReadSets").input_shape,
        {"sequenceStoreId": "1234567890", "filter": {"createdAfter": written}},
    )
    assert found == []
    assert params["filter"]["createdAfter"] == "2026-01-31T12:00:00.000Z"


def test_a_document_is_not_touched() -> None:
    document = {"n": None, "i": 1, "f": 1.5, "deep": [{"x": []}], "big": 1 << 70}
    shape = operation_model("StartRun").input_shape
    params, _found = shapes.read(shape, {"parameters": document})
    assert params["parameters"] == document
    assert shapes.write(shape, {"parameters": document}) == {"parameters": document}
