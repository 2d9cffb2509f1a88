"""What a home remembers of one store of HealthOmics, in a folder that is about that store and no other.

    <region>-<account>-<store>/jobs/<imp_…>.json       what was asked, and the service's jobs; written before it starts
    <region>-<account>-<store>/readsets/<rds_…>.json   what the service calls a read set of ours

Everything in it only saves calls. A home that is given another store, region, account or endpoint begins a new folder,
and one that is given back its old ones finds the old folder.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from labrelay.model.names import slug
from labrelay.stores.aws import Aws
from labrelay.stores.durable import GRACE_SECONDS, file_lock, remove_stale_temps, write_json_atomic
from labrelay.stores.healthomics_jobs import JobFile, Mapped
from labrelay.stores.jsonfile import checked_id, read_model

LOCK_SECONDS = 60.0
FOLDERS = ("jobs", "readsets", "uploads", "reference-ids")


def place_of(aws: Aws, role_arn: str, *things: str) -> str:
    """Return a name for a place of the service: region, account, thing, and the endpoint if not AWS's own.

    Args:
        aws: The way there.
        role_arn: The service role, which is of the same account.
        things: Such as the id of a store.

    Raises:
        UsageError: No region is known.
    """
    region = str(aws.client("omics").meta.region_name)
    return slug("-".join(filter(None, (region, account_of(role_arn), *things, aws.endpoint("omics")))))


def account_of(role_arn: str) -> str:
    """Return the account that a role is of; empty when the text is no ARN."""
    parts = role_arn.split(":")
    return parts[4] if len(parts) > 5 else ""


@dataclass(frozen=True)
class StateFolder:
    """The state of one store.

    Attributes:
        root: The state folder of the home; each store has its own below it.
        aws: The way to the service; its region is asked for at the first use.
        role_arn: The service role.
        store_id: The sequence store's or reference store's.
    """

    root: Path
    aws: Aws
    role_arn: str
    store_id: str

    @cached_property
    def path(self) -> Path:
        """The folder; made at the first write."""
        return self.root.absolute() / place_of(self.aws, self.role_arn, self.store_id)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes of this home away from the jobs.

        Raises:
            Busy: Another one has been at them for a minute.
        """
        return file_lock(self.path / ".lock", f"the read store {self.path}", timeout=LOCK_SECONDS)

    def read_job(self, job_id: str) -> JobFile | None:
        """Return an import job, None when this home started no such one in this store."""
        return read_model(self._job_path(job_id), JobFile)

    def write_job(self, job: JobFile) -> None:
        """Write down how a job stands."""
        write_json_atomic(self._job_path(job.id), job.model_dump(mode="json"))

    def read_mapped(self, read_set_id: str) -> Mapped | None:
        """Return what the service calls a read set, None when that is not known here."""
        return read_model(self._mapped_path(read_set_id), Mapped)

    def write_mapped(self, mapped: Mapped) -> None:
        """Write down what the service calls a read set."""
        write_json_atomic(self._mapped_path(mapped.source.id), mapped.model_dump(mode="json"))

    def forget(self, read_set_id: str) -> None:
        """Forget a read set that the service does not have any more, so that it can be imported again."""
        self._mapped_path(read_set_id).unlink(missing_ok=True)

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed processes left, for any store; return how many files."""
        places = [path for path in self.root.iterdir() if path.is_dir()] if self.root.is_dir() else []
        return sum(remove_stale_temps(place / part, older_than) for place in places for part in FOLDERS)

    def _job_path(self, job_id: str) -> Path:
        return self.path / "jobs" / f"{checked_id(job_id, 'imp_')}.json"

    def _mapped_path(self, read_set_id: str) -> Path:
        return self.path / "readsets" / f"{checked_id(read_set_id, 'rds_')}.json"
