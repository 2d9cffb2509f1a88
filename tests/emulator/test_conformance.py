"""Every operation that is emulated, by plain boto3, and every answer held against botocore's service model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import ResponseParserError, RestJSONParser
from emulated import client
from emulated_runs import ROLE, SAY, SETTINGS, TWO, archive, until
from emulated_storage import REFERENCE, alignments, described, fastq
from response_model import Answer, Recorder

from labrelay.emulator.launch import running
from labrelay.emulator.operation import OPERATIONS
from labrelay.emulator.routing import operation_model
from labrelay.emulator.wire import load_operations
from labrelay.workflows.local.engine import LocalEngine

SOON = {"Delay": 0.1, "MaxAttempts": 600}
NOWHERE = "9999999999"
GONE = f"arn:aws:omics:us-east-1:123456789012:run/{NOWHERE}"

# What a lab that moves to HealthOmics cannot do without: the contract's first priority.
MUST = """
CreateReferenceStore GetReferenceStore DeleteReferenceStore ListReferenceStores StartReferenceImportJob
GetReferenceImportJob ListReferenceImportJobs ListReferences GetReferenceMetadata GetReference DeleteReference
CreateSequenceStore GetSequenceStore UpdateSequenceStore DeleteSequenceStore ListSequenceStores
StartReadSetImportJob GetReadSetImportJob ListReadSetImportJobs ListReadSets GetReadSetMetadata GetReadSet
BatchDeleteReadSet CreateMultipartReadSetUpload UploadReadSetPart CompleteMultipartReadSetUpload
AbortMultipartReadSetUpload ListMultipartReadSetUploads ListReadSetUploadParts
CreateWorkflow ListWorkflows GetWorkflow UpdateWorkflow DeleteWorkflow
CreateWorkflowVersion ListWorkflowVersions GetWorkflowVersion UpdateWorkflowVersion DeleteWorkflowVersion
StartRun ListRuns GetRun DeleteRun CancelRun ListRunTasks GetRunTask
CreateRunGroup ListRunGroups GetRunGroup UpdateRunGroup DeleteRunGroup
CreateRunCache ListRunCaches GetRunCache UpdateRunCache DeleteRunCache
TagResource ListTagsForResource UntagResource
"""
# The second priority.
SHOULD = """
StartReadSetExportJob GetReadSetExportJob ListReadSetExportJobs
StartReadSetActivationJob GetReadSetActivationJob ListReadSetActivationJobs
PutS3AccessPolicy GetS3AccessPolicy DeleteS3AccessPolicy
StartRunBatch ListBatch GetBatch DeleteBatch ListRunsInBatch CancelRunBatch DeleteRunBatch
"""
EMULATED = set(f"{MUST} {SHOULD}".split())

# The model requires these two in answers and lets requests leave them out; then the emulator answers with empty text.
UPLOADS = {"CreateMultipartReadSetUpload", "ListMultipartReadSetUploads"}
LEFT_OUT = re.compile(r"(as parsed, )?(uploads\[\d+\]\.)?(generatedFrom|referenceArn) (has or is 0,|is '',).*")


@dataclass
class Tour:
    """A lab's way through all operations; things are made, looked at, changed, and deleted again."""

    omics: Any
    s3: Any
    scratch: Path
    store: str = ""
    references: str = ""
    reference: dict[str, Any] = field(default_factory=dict)
    workflow: str = ""

    def put(self, key: str, content: bytes) -> str:
        self.s3.put_object(Bucket="tour", Key=key, Body=content)
        return f"s3://tour/{key}"

    def wait(self, waiter: str, **what: Any) -> None:
        self.omics.get_waiter(waiter).wait(**what, WaiterConfig=SOON)

    def make_stores(self) -> None:
        omics = self.omics
        self.references = omics.create_reference_store(name="references", description="all of them")["id"]
        omics.get_reference_store(id=self.references)
        omics.list_reference_stores(filter={"name": "references"})
        made = omics.create_sequence_store(
            name="reads", description="Größe", tags={"a": "b"}, propagatedSetLevelTags=["project"]
        )
        self.store = made["id"]
        omics.update_sequence_store(id=self.store, description="changed")
        point = omics.get_sequence_store(id=self.store)["s3Access"]["s3AccessPointArn"]
        omics.list_sequence_stores()
        omics.put_s3_access_policy(s3AccessPointArn=point, s3AccessPolicy='{"Version": "2012-10-17"}')
        omics.get_s3_access_policy(s3AccessPointArn=point)
        omics.delete_s3_access_policy(s3AccessPointArn=point)

    def import_reference(self) -> None:
        omics, where = self.omics, {"referenceStoreId": self.references}
        source = {"sourceFile": self.put("r.fa", REFERENCE.encode()), "name": "tiny", "description": "one", "tags": {}}
        missing = {"sourceFile": "s3://tour/none.fa", "name": "missing"}
        job = omics.start_reference_import_job(**where, roleArn=ROLE, sources=[source, missing])["id"]
        omics.list_reference_import_jobs(**where)
        with suppress(Exception):  # completed with failures, which is a failure for a waiter
            self.wait("reference_import_job_completed", **where, id=job)
        done = omics.get_reference_import_job(**where, id=job)
        assert done["status"] == "COMPLETED_WITH_FAILURES"
        omics.list_reference_import_jobs(**where, filter={"status": "COMPLETED_WITH_FAILURES"})
        key = next(item["referenceId"] for item in done["sources"] if item["status"] == "FINISHED")
        self.reference = omics.get_reference_metadata(**where, id=key)
        omics.list_references(**where, maxResults=1)
        content = omics.get_reference(**where, id=key, partNumber=1, file="SOURCE")["payload"].read()
        assert content == REFERENCE.encode()

    def import_reads(self) -> list[str]:
        omics, where = self.omics, {"sequenceStoreId": self.store}
        pair = {f"source{mate}": self.put(f"{mate}.fastq.gz", fastq(mate=mate)) for mate in (1, 2)}
        bam = {"source1": self.put("a.bam", alignments(self.scratch).read_bytes())}
        sources = [
            described(sourceFiles=pair, name="pair", description="two", generatedFrom="here", tags={"project": "flu"}),
            described(sourceFiles=bam, sourceFileType="BAM", referenceArn=self.reference["arn"]),
        ]
        job = omics.start_read_set_import_job(**where, roleArn=ROLE, sources=sources)["id"]
        omics.get_read_set_import_job(**where, id=job)
        self.wait("read_set_import_job_completed", **where, id=job)
        found = [source["readSetId"] for source in omics.get_read_set_import_job(**where, id=job)["sources"]]
        missing = [described(sourceFiles={"source1": "s3://tour/none.fastq.gz"})]
        failing = omics.start_read_set_import_job(**where, roleArn=ROLE, sources=missing)["id"]
        until(lambda: omics.get_read_set_import_job(**where, id=failing), lambda job: job["status"] == "FAILED")
        omics.list_read_set_import_jobs(**where)
        for key in found:
            omics.get_read_set_metadata(**where, id=key)
        omics.list_read_sets(**where)
        assert omics.get_read_set(**where, id=found[0], file="SOURCE2", partNumber=1)["payload"].read()
        return found

    def export_and_activate(self, read_set: str) -> None:
        omics, where, sources = self.omics, {"sequenceStoreId": self.store}, [{"readSetId": read_set}]
        asked = {**where, "roleArn": ROLE, "destination": "s3://tour/exported/", "sources": sources}
        job = omics.start_read_set_export_job(**asked)["id"]
        self.wait("read_set_export_job_completed", **where, id=job)
        omics.list_read_set_export_jobs(**where)
        omics.get_read_set_export_job(**where, id=job)
        job = omics.start_read_set_activation_job(**where, sources=sources)["id"]
        self.wait("read_set_activation_job_completed", **where, id=job)
        omics.list_read_set_activation_jobs(**where)

    def upload(self) -> str:
        omics, store = self.omics, {"sequenceStoreId": self.store}
        about = {"sourceFileType": "FASTQ", "subjectId": "patient", "sampleId": "NA1", "name": "direct"}
        more = {"generatedFrom": "here", "referenceArn": self.reference["arn"], "tags": {"a": "b"}}
        given_up = omics.create_multipart_read_set_upload(**store, **about, **more, description="given up")["uploadId"]
        begun = omics.create_multipart_read_set_upload(**store, **about)["uploadId"]
        omics.list_multipart_read_set_uploads(**store)
        omics.abort_multipart_read_set_upload(**store, uploadId=given_up)
        where, place = {**store, "uploadId": begun}, {"partSource": "SOURCE1", "partNumber": 1}
        checksum = omics.upload_read_set_part(**where, **place, payload=fastq())["checksum"]
        omics.list_read_set_upload_parts(**where, partSource="SOURCE1")
        parts = [{**place, "checksum": checksum}]
        key: str = omics.complete_multipart_read_set_upload(**where, parts=parts)["readSetId"]
        until(lambda: omics.get_read_set_metadata(**store, id=key), lambda read_set: read_set["status"] == "ACTIVE")
        return key

    def make_workflows(self) -> None:
        omics = self.omics
        asked = {"definitionZip": archive(SAY), "description": "Says it.", "tags": {"a": "b"}, "storageCapacity": 1200}
        self.workflow = omics.create_workflow(name="tiny", **asked, readmeMarkdown="# Tiny\n")["id"]
        version = {"workflowId": self.workflow, "versionName": "v2"}
        omics.create_workflow_version(**version, definitionZip=archive(TWO), description="other")
        omics.get_workflow(id=self.workflow)
        self.wait("workflow_active", id=self.workflow)
        self.wait("workflow_version_active", **version)
        omics.update_workflow(id=self.workflow, name="changed", description="words")
        omics.update_workflow_version(**version, description="changed")
        omics.get_workflow(id=self.workflow, export=["DEFINITION", "README"])
        omics.get_workflow_version(**version, export=["DEFINITION"])
        broken = omics.create_workflow(definitionZip=archive("version 1.1\nworkflow {"))["id"]
        until(lambda: omics.get_workflow(id=broken), lambda found: found["status"] == "FAILED")
        omics.list_workflows()
        omics.list_workflow_versions(workflowId=self.workflow)
        omics.delete_workflow(id=broken)
        omics.delete_workflow_version(**version)

    def run(self) -> None:
        omics, limits = self.omics, {"maxCpus": 10, "maxRuns": 5, "maxDuration": 600, "maxGpus": 1}
        group = omics.create_run_group(name="group", tags={"a": "b"}, **limits)["id"]
        cache = omics.create_run_cache(cacheS3Location="s3://tour/cache", cacheBehavior="CACHE_ALWAYS", name="cache")
        usual = {"workflowId": self.workflow, "roleArn": ROLE, "outputUri": "s3://tour/out", "runGroupId": group}
        more = {"priority": 7, "storageType": "DYNAMIC", "logLevel": "ALL", "tags": {"a": "b"}, "cacheId": cache["id"]}
        given = {"given": self.put("in/a.txt", b"abc\n")}
        run = omics.start_run(**usual, **more, parameters=given, name="good", retentionMode="RETAIN")["id"]
        failing = omics.start_run(**usual, parameters={"script": "exit 4"}, storageCapacity=1200)["id"]
        long = omics.start_run(**usual, parameters={"script": "sleep 60"})["id"]
        omics.get_run(id=long)
        omics.cancel_run(id=long)
        self.wait("run_completed", id=run)
        for ended, status in ((failing, "FAILED"), (long, "CANCELLED")):
            until(lambda ended=ended: omics.get_run(id=ended), lambda found, s=status: found["status"] == s)
        for each in (run, failing):
            for task in omics.list_run_tasks(id=each)["items"]:
                omics.get_run_task(id=each, taskId=task["taskId"])
        omics.list_runs(runGroupId=group)
        self.change_and_delete(group, cache["id"])
        for ended in (run, failing, long):
            omics.delete_run(id=ended)

    def change_and_delete(self, group: str, cache: str) -> None:
        omics = self.omics
        omics.update_run_group(id=group, maxCpus=20)
        omics.get_run_group(id=group)
        omics.list_run_groups()
        omics.delete_run_group(id=group)
        omics.update_run_cache(id=cache, cacheBehavior="CACHE_ON_FAILURE")
        omics.get_run_cache(id=cache)
        omics.list_run_caches()
        omics.delete_run_cache(id=cache)

    def start_batch(self, script: str) -> str:
        usual = {"workflowId": self.workflow, "roleArn": ROLE, "outputUri": "s3://tour/batch", "name": "usual"}
        inline = [
            {"runSettingId": "good", "parameters": {"script": script}, "runTags": {"a": "b"}},
            {"runSettingId": "bad", "parameters": {"no_such_parameter": 1}},
        ]
        asked = {"defaultRunSetting": usual, "batchRunSettings": {"inlineSettings": inline}, "batchName": "b"}
        return str(self.omics.start_run_batch(**asked, tags={"a": "b"})["id"])

    def run_batches(self) -> None:
        omics = self.omics
        done, long = self.start_batch("true"), self.start_batch("sleep 60")
        self.reach(long, "INPROGRESS")
        omics.cancel_run_batch(batchId=long)
        self.reach(done, "PROCESSED")
        omics.list_batch()
        omics.list_runs_in_batch(batchId=done)
        omics.delete_run_batch(batchId=done)
        for batch, status in ((done, "RUNS_DELETED"), (long, "CANCELLED")):
            self.reach(batch, status)
            omics.delete_batch(batchId=batch)

    def reach(self, batch: str, status: str) -> None:
        until(lambda: self.omics.get_batch(batchId=batch), lambda found: found["status"] == status, 20)

    def tag(self) -> None:
        arn = self.reference["arn"]
        self.omics.tag_resource(resourceArn=arn, tags={"project": "flu", "Größe": "1/2"})
        assert self.omics.list_tags_for_resource(resourceArn=arn)["tags"] == {"project": "flu", "Größe": "1/2"}
        self.omics.untag_resource(resourceArn=arn, tagKeys=["project", "Größe"])

    def delete_all(self, read_sets: list[str]) -> None:
        omics = self.omics
        omics.delete_workflow(id=self.workflow)
        partly = omics.batch_delete_read_set(sequenceStoreId=self.store, ids=[*read_sets, NOWHERE])
        assert [error["id"] for error in partly["errors"]] == [NOWHERE]
        until(lambda: omics.list_read_sets(sequenceStoreId=self.store)["readSets"], lambda left: not left)
        omics.delete_sequence_store(id=self.store)
        omics.delete_reference(id=self.reference["id"], referenceStoreId=self.references)
        until(lambda: omics.list_references(referenceStoreId=self.references)["references"], lambda left: not left)
        omics.delete_reference_store(id=self.references)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An emulator of its own: an account has one reference store, and here it is made and deleted."""
    folder = tmp_path_factory.mktemp("conformance")
    (folder / "runs.toml").write_text(SETTINGS)
    with running(folder) as found:
        yield found
    LocalEngine(folder / "engine").stop()


def test_every_operation_answers_as_the_service_model_says(endpoint: str, tmp_path: Path) -> None:
    load_operations()
    assert set(OPERATIONS) == EMULATED
    omics, s3 = client("omics", endpoint), client("s3", endpoint)
    s3.create_bucket(Bucket="tour")
    recorder, tour = Recorder(omics), Tour(omics, s3, tmp_path)
    tour.make_stores()
    tour.import_reference()
    read_sets = tour.import_reads()
    tour.export_and_activate(read_sets[0])
    read_sets.append(tour.upload())
    tour.make_workflows()
    tour.run()
    tour.run_batches()
    tour.tag()
    tour.delete_all(read_sets)
    assert recorder.succeeded() == EMULATED
    problems = recorder.problems()
    assert {name: found for name, found in problems.items() if name not in UPLOADS} == {}
    assert [problem for name in UPLOADS for problem in problems[name] if not LEFT_OUT.fullmatch(problem)] == []


FAILURES: list[tuple[str, str, dict[str, Any]]] = [
    ("ResourceNotFoundException", "get_run", {"id": NOWHERE}),
    ("ResourceNotFoundException", "delete_workflow", {"id": NOWHERE}),
    ("ResourceNotFoundException", "get_read_set", {"sequenceStoreId": NOWHERE, "id": NOWHERE, "partNumber": 1}),
    ("ResourceNotFoundException", "list_tags_for_resource", {"resourceArn": GONE}),
    ("ValidationException", "get_run", {"id": "abc"}),
    ("ValidationException", "list_run_groups", {"maxResults": 101}),
    ("ValidationException", "create_sequence_store", {"name": "x" * 200}),
    ("ValidationException", "create_workflow", {"name": "without a definition"}),
]


@pytest.mark.parametrize(("code", "method", "asked"), FAILURES)
def test_a_refusal_is_an_error_of_the_operation_with_its_status(
    endpoint: str, code: str, method: str, asked: dict[str, Any]
) -> None:
    omics = client("omics", endpoint)
    recorder = Recorder(omics)
    with pytest.raises(getattr(omics.exceptions, code)):
        getattr(omics, method)(**asked)
    [answer] = recorder.answers
    assert answer.failed
    assert answer.problems() == []


def test_what_the_state_does_not_allow_is_a_conflict(endpoint: str) -> None:
    omics = client("omics", endpoint)
    recorder = Recorder(omics)
    workflow = omics.create_workflow(definitionZip=archive(SAY))["id"]
    version = {"workflowId": workflow, "versionName": "v1", "definitionZip": archive(TWO)}
    omics.create_workflow_version(**version)
    with pytest.raises(omics.exceptions.ConflictException):
        omics.create_workflow_version(**version)
    omics.get_waiter("workflow_active").wait(id=workflow, WaiterConfig=SOON)
    run = omics.start_run(workflowId=workflow, roleArn=ROLE, outputUri="s3://tour/out", parameters={})["id"]
    with pytest.raises(omics.exceptions.ConflictException):
        omics.delete_run(id=run)
    omics.cancel_run(id=run)
    until(lambda: omics.get_run(id=run), lambda found: found["status"] == "CANCELLED")
    with pytest.raises(omics.exceptions.ConflictException):
        omics.cancel_run(id=run)
    assert [answer.status for answer in recorder.answers if answer.failed] == [409, 409, 409]
    assert recorder.problems() == {}


GOOD_GROUP = {"arn": "arn:aws:omics:us-east-1:123456789012:runGroup/1", "id": "1", "name": "group", "maxCpus": 4}
GOOD_STORE = {
    "id": "1234567890",
    "arn": "arn:aws:omics:us-east-1:123456789012:referenceStore/1234567890",
    "creationTime": "2026-01-31T12:00:00.000Z",
}
WRONG: list[tuple[str, int, Any, str]] = [
    ("GetRunGroup", 202, GOOD_GROUP, "the status is 202, not 200"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "own": 1}, "own is not modelled"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "maxCpus": "4"}, "maxCpus is '4', no integer"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "maxCpus": True}, "maxCpus is True, no integer"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "maxCpus": 0}, "maxCpus has or is 0, not 1 to 100000"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "name": None}, "name is None, no string"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "name": "x" * 129}, "name has or is 129, not 1 to 128"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "id": "a1"}, "id is 'a1', which"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "tags": {"a": 1}}, "tags.a is 1, no string"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "creationTime": 1769860800}, "creationTime is 1769860800, no ISO 8601"),
    ("GetRunGroup", 200, {**GOOD_GROUP, "creationTime": "2026-13-31T12:00:00Z"}, "a time that never was"),
    ("GetRun", 200, {"status": "DONE"}, "status is 'DONE', none of PENDING"),
    ("ListRunGroups", 200, {"items": [{"id": 7}]}, "items[0].id is 7, no string"),
    ("GetReferenceStore", 200, {"id": "1234567890", "arn": GOOD_STORE["arn"]}, "creationTime is required and missing"),
    ("GetReferenceStore", 200, [GOOD_STORE], "no structure"),
    ("CancelRun", 202, {}, "there is a body"),
    ("TagResource", 204, {}, "there is a body"),
]


@pytest.mark.parametrize(("operation", "status", "body", "words"), WRONG)
def test_an_answer_that_is_not_as_the_model_says_is_noticed(operation: str, status: int, body: Any, words: str) -> None:
    assert any(words in problem for problem in answered(operation, status, body).problems())


def test_an_answer_that_is_as_the_model_says_has_no_problems() -> None:
    assert answered("GetReferenceStore", 200, GOOD_STORE).problems() == []
    assert answered("GetRunGroup", 200, GOOD_GROUP).problems() == []


@pytest.mark.parametrize(
    ("operation", "code", "status", "body", "words"),
    [
        ("GetRun", "ResourceNotFoundException", 400, {"message": "m"}, "is 400, not 404"),
        ("GetRun", "ResourceNotFoundException", 404, {}, "message is required and missing"),
        ("GetRun", "ResourceNotFoundException", 404, {"message": "m", "own": 1}, "own is not modelled"),
        ("GetRun", "NoSuchRun", 404, {"message": "m"}, "NoSuchRun (404) is none of AccessDeniedException"),
        ("ListReadSets", "ConflictException", 409, {"message": "m"}, "ConflictException (409) is none of"),
    ],
)
def test_an_error_that_is_not_as_the_model_says_is_noticed(
    operation: str, code: str, status: int, body: Any, words: str
) -> None:
    assert any(words in problem for problem in answered(operation, status, body, code).problems())


def answered(operation: str, status: int, body: Any, code: str | None = None) -> Answer:
    """Return an answer as botocore's own parser reads it."""
    model = operation_model(operation)
    headers = HeadersDict({"content-type": "application/json", **({"x-amzn-errortype": code} if code else {})})
    sent = json.dumps(body).encode()
    response = {"status_code": status, "headers": headers, "body": sent}
    with suppress(ResponseParserError, ValueError, AttributeError):  # what even botocore cannot read
        return Answer(model, status, headers, sent, RestJSONParser().parse(response, model.output_shape))
    return Answer(model, status, headers, sent, {})
