"""Workflow bundles as HealthOmics workflows: one workflow a definition name, one version a bundle digest.

A version is immutable and its name comes from the bundle's digest, and from the registry map where there is one, so
that publishing again finds what is there, on this machine or another. What was found is kept in a small file, which
names the place that it is about: another region, account or endpoint is simply asked again, and so is a service that
lost it.
"""

from __future__ import annotations

import json
import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labrelay.model.errors import Busy, Conflict, EngineFailed, NotFound, RefusedInput
from labrelay.model.faults import faultpoint
from labrelay.model.names import printable
from labrelay.model.problem import Frozen, Problem, errors_of
from labrelay.model.runs import WorkflowVersion
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.durable import write_json_atomic
from labrelay.stores.healthomics_state import place_of
from labrelay.workflows.bundle import unpack_bundle
from labrelay.workflows.definition import COMMAND, NEXTFLOW, READY2RUN, load
from labrelay.workflows.document import load_document
from labrelay.workflows.healthomics.lint import lint_document, lint_pipeline, no_command
from labrelay.workflows.healthomics.template import parameter_template
from labrelay.workflows.schema import input_schema, schema_of

log = logging.getLogger(__name__)
ZIP_BYTES = 4_400_000  # what CreateWorkflow takes inside the request; more goes through S3
VERSION_DIGITS = 16
NAME_TAG, DIGEST_TAG = "labrelay:workflow", "labrelay:digest"
FIRST_PAUSE, LONGEST_PAUSE, PATIENCE = 0.2, 10.0, 900.0  # seconds
GOING = ("CREATING", "UPDATING")


class Published(Frozen):
    """A version that can be run.

    Attributes:
        workflow_id: HealthOmics' id of the workflow.
        version: The version's name; None of a Ready2Run workflow.
        inputs: The JSON Schema of its inputs, as `labrelay.workflows.schema` makes it.
        outdir: The parameter of a pipeline that has to name the publish folder.
        columns: Of the sample sheet that a pipeline takes, in their order.
    """

    workflow_id: str
    version: str | None
    inputs: dict[str, Any]
    outdir: str | None = None
    columns: tuple[str, ...] = ()


class _Noted(Frozen):
    """What the small file holds: the place, and what is published there by a digest of all that a version holds."""

    place: str = ""
    published: dict[str, Published] = {}


class Publisher:
    """Publishes bundles and remembers what is published.

    Args:
        aws: Where.
        cache: A JSON file; it may be deleted at any time.
        bundles_uri: `s3://bucket/prefix` for bundles that are too large for a request.
        role_arn: The service role, of the account where it is published.
        registry_map: The container registry map, as the API has it: `registryMappings`, `imageMappings`.
        sleep: For tests.
    """

    def __init__(
        self,
        aws: Aws,
        cache: Path,
        bundles_uri: str,
        role_arn: str,
        registry_map: Mapping[str, Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._aws, self._cache, self._bundles = aws, cache, bundles_uri.rstrip("/")
        self._role_arn, self._registry_map, self._sleep = role_arn, dict(registry_map or {}), sleep

    @cached_property
    def _known(self) -> dict[str, Published]:
        """What is published in this place, as far as it was written down."""
        noted = _read(self._cache)
        return noted.published if noted.place == self._place else {}

    @cached_property
    def _place(self) -> str:
        return place_of(self._aws, self._role_arn)

    def publish(self, workflow: WorkflowVersion, bundle: Path) -> Published:
        """Return the version of this bundle, made and ACTIVE; one that is known costs no call.

        Raises:
            RefusedInput: The bundle is not fit for HealthOmics, or HealthOmics says so, in its own words.
            EngineFailed: It did not become ACTIVE in time, or the service failed.
        """
        content = self._content(workflow)
        known = self._known.get(content)
        if known is None:
            fit = _checked(workflow, bundle)
            known = self._found(workflow, fit) if fit.workflow_id else self._made(workflow, bundle, fit)
            self._known[content] = known
            self._write()
        return known

    def forget(self, workflow: WorkflowVersion) -> None:
        """Forget what is published for this bundle, because the service does not know it (any more)."""
        if self._known.pop(self._content(workflow), None) is not None:
            self._write()

    def _content(self, workflow: WorkflowVersion) -> str:
        """Return a digest of all that a version holds: the service keeps the registry map in it, as it was then."""
        if not self._registry_map:
            return workflow.digest
        return sha256(f"{workflow.digest}\n{json.dumps(self._registry_map, sort_keys=True)}".encode()).hexdigest()

    def _found(self, workflow: WorkflowVersion, fit: Published) -> Published:
        """Return a Ready2Run workflow, after a look at whether it takes what our definition gives it."""
        ready2run, schema = fit.workflow_id, fit.inputs
        omics = self._aws.client("omics")
        try:
            with aws_errors(f"look at the Ready2Run workflow {ready2run}", EngineFailed):
                template = omics.get_workflow(id=ready2run, type=READY2RUN).get("parameterTemplate", {})
        except NotFound:
            # Asking again would be refused for ever: ids differ from region to region, and an emulator has none.
            where = self._aws.endpoint("omics") or omics.meta.region_name
            message = (
                f"ready2run: {where} has no Ready2Run workflow {ready2run}; `aws omics "
                "list-workflows --type READY2RUN` lists those that there are, and `labrelay emulator` has none."
            )
            problem = Problem(code="READY2RUN_UNKNOWN", message=message, path=workflow.main)
            raise RefusedInput(f"The workflow {workflow.name} {workflow.version}", [problem]) from None
        given = {name.removeprefix(f"{schema['title']}.") for name in schema["properties"]}
        needed = {name for name, about in template.items() if not about.get("optional")}
        wrong = [(name, "Ready2Run needs this parameter, and the definition lacks it") for name in needed - given]
        if template:
            wrong += [(name, "Ready2Run has no such parameter") for name in given - template.keys()]
        if wrong:
            problems = [
                Problem(code="READY2RUN_INPUTS", message=f"inputs.{printable(name)}: {why}.", path=workflow.main)
                for name, why in sorted(wrong)
            ]
            raise RefusedInput(f"The workflow {workflow.name} {workflow.version}", problems)
        return fit

    def _made(self, workflow: WorkflowVersion, bundle: Path, fit: Published) -> Published:
        asked = self._definition(workflow, bundle, fit)
        workflow_id = self._workflow(workflow, asked)
        version = self._version(workflow_id, workflow, asked)
        return fit.model_copy(update={"workflow_id": workflow_id, "version": version})

    def _workflow(self, workflow: WorkflowVersion, asked: Mapping[str, Any]) -> str:
        """Return the id of the workflow of this name, made when there is none."""
        omics, tags = self._aws.client("omics"), {**asked["tags"], NAME_TAG: workflow.name}
        found = self._named(workflow.name)
        # One that another machine is making just now may yet fail by that machine's bundle.
        if found and self._await(lambda: dict(omics.get_workflow(id=found)), f"the workflow {workflow.name}") is None:
            return found
        with aws_errors(f"make the workflow {workflow.name}", EngineFailed):
            made = omics.create_workflow(**{**asked, "name": workflow.name, "tags": tags}, requestId=_token())["id"]
        faultpoint("healthomics.workflow_made")
        failed = self._await(lambda: dict(omics.get_workflow(id=made)), f"the workflow {workflow.name}")
        if failed is not None:
            self._drop(made)
            raise _refused(workflow, failed)
        # Two machines may have made one each; both then take the older, and the younger goes.
        oldest = self._named(workflow.name) or made
        if oldest != made:
            self._drop(made)
        return oldest

    def _named(self, name: str) -> str | None:
        """Return the id of the oldest usable workflow of this name that Labrelay made."""
        omics = self._aws.client("omics")
        with aws_errors(f"look for the workflow {name}", EngineFailed):
            pages = omics.get_paginator("list_workflows").paginate(type="PRIVATE", name=name)
            same = [item for page in pages for item in page.get("items", []) if item.get("name") == name]
            for item in sorted(same, key=lambda item: (str(item.get("creationTime")), str(item["id"]))):
                if item.get("status") in ("ACTIVE", *GOING) and self._is_ours(str(item["id"]), name):
                    return str(item["id"])
        return None

    def _is_ours(self, workflow_id: str, name: str) -> bool:
        details = self._aws.client("omics").get_workflow(id=workflow_id)
        return bool(details.get("tags", {}).get(NAME_TAG) == name)

    def _drop(self, workflow_id: str) -> None:
        with aws_errors(f"delete the workflow {workflow_id}", EngineFailed):
            self._aws.client("omics").delete_workflow(id=workflow_id)

    def _version(self, workflow_id: str, workflow: WorkflowVersion, asked: Mapping[str, Any]) -> str:
        """Return the name of the version of this bundle, made when it is not there, once it is ACTIVE."""
        omics, content = self._aws.client("omics"), self._content(workflow)
        name = content[:VERSION_DIGITS]
        what = f"version {name} of the workflow {workflow.name}"
        names = {"workflowId": workflow_id, "versionName": name}

        def look() -> dict[str, Any]:
            return dict(omics.get_workflow_version(**names))

        made = self._make_version(what, names, asked)
        failed = self._await(look, what)
        if failed is not None and not made:
            # An earlier try left it; what failed then may have been the service.
            with aws_errors(f"delete {what}", EngineFailed):
                omics.delete_workflow_version(**names)
            self._make_version(what, names, asked)
            failed = self._await(look, what)
        if failed is not None:
            raise _refused(workflow, failed)
        with aws_errors(f"look at {what}", EngineFailed):
            digest = look().get("tags", {}).get(DIGEST_TAG, content)
        if digest != content:
            raise Conflict(f"{what} was made from another bundle ({printable(digest)}); delete it in HealthOmics.")
        return name

    def _make_version(self, what: str, names: Mapping[str, str], asked: Mapping[str, Any]) -> bool:
        """Make the version and return True, or False when it is there."""
        omics = self._aws.client("omics")
        try:
            with aws_errors(f"look for {what}", EngineFailed):
                omics.get_workflow_version(**names)
            return False
        except NotFound:
            pass
        try:
            with aws_errors(f"make {what}", EngineFailed):
                omics.create_workflow_version(**{**asked, **names}, requestId=_token())
        except Conflict:
            return False  # another machine was quicker
        faultpoint("healthomics.version_made")
        return True

    def _await(self, look: Callable[[], dict[str, Any]], what: str) -> str | None:
        """Wait until a workflow or version is ACTIVE; return the service's message when it FAILED."""
        pause, waited = FIRST_PAUSE, 0.0
        while waited < PATIENCE:
            with aws_errors(f"wait for {what}", EngineFailed):
                found = look()
            if found["status"] == "ACTIVE":
                return None
            if found["status"] not in GOING:
                return str(found.get("statusMessage") or f"its status is {found['status']}")
            self._sleep(pause)
            waited, pause = waited + pause, min(LONGEST_PAUSE, pause * 1.5)
        raise Busy(f"{what} is not ACTIVE after {PATIENCE / 60:.0f} minutes; the same command waits on.")

    def _definition(self, workflow: WorkflowVersion, bundle: Path, fit: Published) -> dict[str, Any]:
        """Return what CreateWorkflow and CreateWorkflowVersion have in common."""
        asked: dict[str, Any] = {
            "engine": workflow.language,
            "main": workflow.main,
            "description": f"{workflow.name} {workflow.version}, by Labrelay, sha256 {workflow.digest}"[:256],
            "parameterTemplate": parameter_template(fit.inputs, fit.outdir),
            "tags": {DIGEST_TAG: self._content(workflow)},
        }
        if self._registry_map:
            asked["containerRegistryMap"] = self._registry_map
        if bundle.stat().st_size <= ZIP_BYTES:
            return {**asked, "definitionZip": bundle.read_bytes()}
        return {**asked, "definitionUri": self._upload(workflow, bundle)}

    def _upload(self, workflow: WorkflowVersion, bundle: Path) -> str:
        uri = f"{self._bundles}/{workflow.digest}.zip"
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        with aws_errors(f"store the bundle of {workflow.name} at {uri}", EngineFailed):
            self._aws.client("s3").upload_file(str(bundle), bucket, key)
        return uri

    def _write(self) -> None:
        write_json_atomic(self._cache, _Noted(place=self._place, published=self._known).model_dump(mode="json"))


def _checked(workflow: WorkflowVersion, bundle: Path) -> Published:
    """Return what has to be known to run it, after it was found fit for HealthOmics; the id is Ready2Run's or empty."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "bundle")
        unpack_bundle(bundle, folder)
        if workflow.language == READY2RUN:
            definition = load(folder)
            return Published(workflow_id=definition.ready2run or "", version=None, inputs=schema_of(definition))
        if workflow.language == COMMAND:
            _judge(workflow, [no_command()])
        if workflow.language == NEXTFLOW:
            definition = load(folder)
            _judge(workflow, lint_pipeline(definition))
            sheet = definition.samplesheet
            return Published(
                workflow_id="",
                version=None,
                inputs=schema_of(definition),
                outdir=definition.nextflow.outdir,
                columns=tuple(sheet.columns) if sheet is not None else (),
            )
        document = load_document(folder, workflow.main)
        _judge(workflow, lint_document(document, folder.resolve()))
        return Published(workflow_id="", version=None, inputs=input_schema(document))


def _judge(workflow: WorkflowVersion, findings: Iterable[Problem]) -> None:
    found = list(findings)
    for problem in found:
        log.info("%s: %s: %s", workflow.name, problem.severity.value, problem)
    if errors := errors_of(found):
        raise RefusedInput(f"The workflow {workflow.name} for HealthOmics", errors)


def _refused(workflow: WorkflowVersion, said: str) -> RefusedInput:
    problems = [
        Problem(code="HEALTHOMICS_REFUSED", message=f"HealthOmics says: {line}", path=workflow.main)
        for line in _lines(said)
    ]
    return RefusedInput(f"The workflow {workflow.name} {workflow.version}", problems)


def _lines(said: str) -> Iterator[str]:
    """Yield the lines that say something, at most twenty: linters can be wordy."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it is not valid, without saying why"]
    yield from lines[:20]


def _token() -> str:
    # One a call: the names make publishing safe to repeat, and a token that outlives a deletion would give back its id.
    return secrets.token_hex(16)


def _read(cache: Path) -> _Noted:
    """Return what the file says; one that cannot be read says nothing, since all of it can be asked again."""
    try:
        return _Noted.model_validate_json(cache.read_bytes())
    except (OSError, ValidationError):
        return _Noted()
