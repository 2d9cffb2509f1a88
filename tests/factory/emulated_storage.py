"""The emulator's storage in this process: operations by name, an S3 in memory behind, background work on demand."""

from __future__ import annotations

import gzip
import random
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pysam
from botocore.config import Config
from moto.server import ThreadedMotoServer

from labrelay.emulator.operation import OPERATIONS
from labrelay.emulator.service import WORKERS, Service
from labrelay.emulator.state import State
from labrelay.emulator.wire import call, load_operations

ROLE = "arn:aws:iam::123456789012:role/LabImport"
STORAGE_WORKERS = (
    "reference imports",
    "read set imports",
    "upload processing",
    "activations",
    "exports",
    "archive",
    "tag propagation",
    "deletions",
)
BASES = random.Random(7).choices("ACGT", k=1000)
REFERENCE = ">chr1 the only one\n" + "".join(f"{''.join(BASES[i : i + 60])}\n" for i in range(0, 1000, 60))


def s3_client(url: str) -> Any:
    """Return a client for an S3 that lets anybody in."""
    retries = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    keys = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=retries, **keys)


@contextmanager
def s3_in_memory() -> Iterator[str]:
    """Serve S3 from memory for the block and yield its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def forget_objects(url: str) -> None:
    """Empty an S3 in memory."""
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=10).close()


def open_service(folder: Path, url: str, events: list[Any] | None = None) -> Service:
    """Return the service on a data folder, as a server that starts would."""
    load_operations()
    folder.mkdir(parents=True, exist_ok=True)
    announce = (lambda *event: None) if events is None else (lambda *event: events.append(event))
    return Service(folder, State(folder / "state.sqlite"), s3=s3_client(url), announce=announce)


def fastq(reads: int = 10, mate: int = 1, prefix: str = "r") -> bytes:
    """Return gzipped FASTQ of reads of four bases."""
    text = "".join(f"@{prefix}{n} {mate}:N:0:ACGT\nACGT\n+\nIIII\n" for n in range(reads))
    return gzip.compress(text.encode(), mtime=0)


def alignments(folder: Path, kind: str = "bam", order: str = "coordinate", reads: int = 5) -> Path:
    """Write a BAM or CRAM of reads of 50 bases that match `REFERENCE`, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    fasta = folder / "reference.fa"
    fasta.write_text(REFERENCE)
    pysam.faidx(str(fasta))
    header = {"HD": {"VN": "1.6", "SO": order}, "SQ": [{"SN": "chr1", "LN": 1000}], "RG": [{"ID": "a", "SM": "NA1"}]}
    path = folder / f"reads.{kind}"
    with pysam.AlignmentFile(
        str(path), "wb" if kind == "bam" else "wc", header=header, reference_filename=str(fasta)
    ) as out:
        for n in range(reads):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.flag, read.reference_id, read.reference_start = f"q{n}", 0, 0, 10 * n
            read.mapping_quality, read.cigarstring = 60, "50M"
            read.query_sequence = "".join(BASES[10 * n : 10 * n + 50])
            read.query_qualities = pysam.qualitystring_to_array("I" * 50)
            out.write(read)
    return path


@dataclass
class Storage:
    """One emulated account with a bucket `lab`, a reference store and a sequence store."""

    service: Service
    url: str
    events: list[Any] = field(default_factory=list)
    references: str = ""
    store: str = ""

    def call(self, operation: str, **asked: Any) -> Any:
        """Call an operation; its parameters and its answer are held against the service model."""
        return call(self.service, operation, asked)

    def call_unchecked(self, operation: str, **asked: Any) -> Any:
        """Call an operation whose answer breaks its model as that of AWS does: required members are there but empty."""
        return OPERATIONS[operation](self.service, asked)

    def put(self, key: str, content: bytes) -> str:
        """Put an object into the bucket `lab` and return its URI."""
        self.service.s3.put_object(Bucket="lab", Key=key, Body=content)
        return f"s3://lab/{key}"

    def work(self) -> None:
        """Do what is due in the background, once."""
        for name in STORAGE_WORKERS:
            WORKERS[name](self.service)

    def start_import(self, *sources: dict[str, Any], **more: Any) -> str:
        """Start an import job and return its id."""
        asked = {"sequenceStoreId": self.store, "roleArn": ROLE, "sources": list(sources), **more}
        return str(self.call("StartReadSetImportJob", **asked)["id"])

    def import_read_set(self, **source: Any) -> str:
        """Import one read set, a tiny FASTQ unless said otherwise, and return its id."""
        if not source.get("sourceFiles"):
            source["sourceFiles"] = {"source1": self.put("tiny.fastq.gz", fastq())}
        job = self.start_import(described(**source))
        self.work()
        return str(self.job(job)["sources"][0]["readSetId"])

    def import_reference(self, content: bytes = REFERENCE.encode(), key: str = "ref.fa") -> dict[str, Any]:
        """Import one reference and return its item of the job."""
        source = {"sourceFile": self.put(key, content), "name": "tiny reference"}
        asked = {"referenceStoreId": self.references, "roleArn": ROLE, "sources": [source]}
        job = self.call("StartReferenceImportJob", **asked)["id"]
        self.work()
        done = self.call("GetReferenceImportJob", referenceStoreId=self.references, id=job)
        return {**done["sources"][0], "job": done["status"]}

    def job(self, job: str) -> Any:
        """Return an import job."""
        return self.call("GetReadSetImportJob", sequenceStoreId=self.store, id=job)

    def read_set(self, key: str) -> Any:
        """Return what is known of a read set."""
        return self.call("GetReadSetMetadata", sequenceStoreId=self.store, id=key)

    def objects(self) -> list[str]:
        """Return the keys of the objects in the store's bucket."""
        s3_access = self.call("GetSequenceStore", id=self.store)["s3Access"]
        bucket = s3_access["s3Uri"].split("/")[2]
        return [entry["Key"] for entry in self.service.s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def described(**source: Any) -> dict[str, Any]:
    """Return a source of an import job with what is required."""
    return {"sourceFileType": "FASTQ", "subjectId": "patient", "sampleId": "NA1", **source}


def new_storage(folder: Path, url: str) -> Storage:
    """Return an account as it is at the start of a test."""
    events: list[Any] = []
    storage = Storage(open_service(folder, url, events), url, events)
    storage.service.s3.create_bucket(Bucket="lab")
    storage.references = storage.call("CreateReferenceStore", name="references")["id"]
    storage.store = storage.call("CreateSequenceStore", name="reads")["id"]
    return storage
