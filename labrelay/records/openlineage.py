"""Run events of OpenLineage, made with its own models and so as its specification says.

A job is a workflow (`<namespace>`, `<name>`), a run one attempt of a workflow run, its parent the experiment. The same
facts give the same bytes. Datasets are the files, by storage and key, and two things that a catalogue shows: a dataset
of the instrument (`<namespace>.dataset`, `dat_…`) and the result (`<namespace>.result`, `run_…`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labrelay.model.errors import MissingTool
from labrelay.records.run_events import COMPLETE, FAIL, START, RunFacts, StoredFile, event_run_id

PRODUCER = "https://labrelay.example/labrelay"
CHECKSUM_SCHEMA = "https://labrelay.example/openlineage/1-0-0/ChecksumDatasetFacet.json"
MAX_ERROR = 2000


class Places:
    """How storages are named in events.

    Args:
        namespace: Of this home; two homes that tell one backend need two.
        urls: By a storage's name, the S3 URL that it is; others are named by the namespace.
    """

    def __init__(self, namespace: str, urls: Mapping[str, str]) -> None:
        self.namespace, self._urls = namespace, dict(urls)

    def of(self, file: StoredFile) -> tuple[str, str]:
        """Return namespace and name of a file, as OpenLineage's naming has them: `s3://bucket` and the whole key."""
        return self._of(file.storage, file.key)

    def uri(self, storage: str, key: str) -> str:
        """Return what a file is called outside: an `s3://` URI, or storage and key of this home."""
        return "/".join(self._of(storage, key))

    def _of(self, storage: str, key: str) -> tuple[str, str]:
        url = self._urls.get(storage)
        if url is None:
            return f"{self.namespace}.{storage}", key
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        return f"s3://{bucket}", "/".join(part for part in (prefix.strip("/"), key) if part)

    def result(self, run_id: str) -> tuple[str, str]:
        """Return namespace and name of a result."""
        return f"{self.namespace}.result", run_id

    def dataset(self, dataset_id: str) -> tuple[str, str]:
        """Return namespace and name of a dataset of the instrument."""
        return f"{self.namespace}.dataset", dataset_id


def source_identifier(place: tuple[str, str]) -> str:
    """Return what DataZone calls a dataset of events: `<namespace>/<name>`."""
    return "/".join(place)


def run_event(facts: RunFacts, kind: str, places: Places, *, files: bool = True) -> dict[str, Any]:
    """Return one run event as JSON.

    Args:
        facts: What is known of the attempt.
        kind: START, COMPLETE, FAIL or ABORT.
        places: How storages are named.
        files: Whether each file is told; without, only datasets and the result, as a catalogue shows them.

    Raises:
        MissingTool: openlineage-python is not installed.
    """
    try:
        from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
        from openlineage.client.serde import Serde
    except ModuleNotFoundError as error:
        raise MissingTool(f"run events need {error.name}: pip install 'labrelay[openlineage]'") from None
    inputs = [InputDataset(*places.dataset(each)) for each in facts.datasets]
    outputs = [OutputDataset(*places.result(facts.run_id))] if kind == COMPLETE else []
    if files:
        inputs += [InputDataset(*places.of(f), facets=_dataset_facets(f, places)) for f in _once(facts.inputs)]
        if kind == COMPLETE:
            outputs += [OutputDataset(*places.of(f), facets=_dataset_facets(f, places)) for f in _once(facts.outputs)]
    event = RunEvent(
        eventType=RunState[kind],
        eventTime=facts.started if kind == START else facts.ended or facts.started,
        run=Run(runId=str(event_run_id(facts.token)), facets=_run_facets(facts, kind, places)),
        job=Job(namespace=places.namespace, name=facts.workflow, facets=_job_facets(facts)),
        inputs=inputs,
        outputs=outputs,
        producer=PRODUCER,
    )
    return dict(Serde.to_dict(event))


def _once(files: Sequence[StoredFile]) -> list[StoredFile]:
    return list({(file.storage, file.key, file.version): file for file in files}.values())


def _run_facets(facts: RunFacts, kind: str, places: Places) -> dict[str, Any]:
    from openlineage.client.facet_v2 import error_message_run, nominal_time_run, parent_run, processing_engine_run

    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=str(event_run_id(facts.experiment_id))),
        job=parent_run.Job(namespace=places.namespace, name=f"experiment.{facts.experiment_id}"),
        producer=PRODUCER,
    )
    ended = facts.ended if kind != START else None
    found: dict[str, Any] = {
        "parent": parent,
        "nominalTime": nominal_time_run.NominalTimeRunFacet(facts.started, ended, producer=PRODUCER),
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=facts.language, name=facts.engine, producer=PRODUCER
        ),
    }
    if kind == FAIL:
        found["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=(facts.failure or "no reason was given")[:MAX_ERROR],
            programmingLanguage=facts.language,
            producer=PRODUCER,
        )
    return found


def _job_facets(facts: RunFacts) -> dict[str, Any]:
    from openlineage.client.facet_v2 import documentation_job, job_type_job, source_code_location_job

    location = source_code_location_job.SourceCodeLocationJobFacet(
        type="labrelay",
        url=f"urn:labrelay:bundle:{facts.digest}",
        version=facts.digest,
        tag=facts.version,
        producer=PRODUCER,
    )
    kind = job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="LABRELAY", jobType=facts.language.upper(), producer=PRODUCER
    )
    told = documentation_job.DocumentationJobFacet(description=facts.title, producer=PRODUCER)
    return {"sourceCodeLocation": location, "jobType": kind, "documentation": told}


def _dataset_facets(file: StoredFile, places: Places) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, datasource_dataset

    namespace, name = places.of(file)
    uri = f"{namespace}/{name}" if namespace.startswith("s3://") else None
    return {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(file.version, producer=PRODUCER),
        "dataSource": datasource_dataset.DatasourceDatasetFacet(name=file.storage, uri=uri, producer=PRODUCER),
        # A facet of our own: the specification has none for a file without a schema.
        "labrelay_checksum": {
            "_producer": PRODUCER,
            "_schemaURL": CHECKSUM_SCHEMA,
            "algorithm": "sha256",
            "value": file.sha256,
            "size": file.size,
            "role": file.name,
        },
    }
