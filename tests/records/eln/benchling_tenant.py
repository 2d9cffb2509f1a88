"""A tenant of the fake Benchling as docs/eln-benchling.md asks for it, and the hands of a person in it."""

from __future__ import annotations

from fake_benchling import CLIENT_ID, SECRET, FakeBenchling

from labrelay.records.eln import benchling_setup as setup
from labrelay.records.eln.port import FILE, LINKS, RESULTS, STATUS, Account

OPTIONS = {
    "client_id": CLIENT_ID,
    "folder": "lib_Records",
    "project": "src_Lab",
    "record_schema": "ts_Record",
    "result_schema": "assaysch_Numbers",
    "experiment_schema": "ts_Experiment",
    "sample_schema": "ts_Sample",
}


def account(url: str, **options: str) -> Account:
    """Return the app's account."""
    return Account(url=url, token=SECRET, options=OPTIONS | options)


def tenant() -> FakeBenchling:
    """Return a tenant with the schemas that Labrelay needs."""
    fake = FakeBenchling()
    fake.add_schema("custom_entity", "ts_Record", _typed(setup.RECORD), multi=("Files",))
    fake.add_schema("assay_result", "assaysch_Numbers", _typed(setup.RESULT))
    fake.add_schema("entry", "ts_Experiment", {"Project": "text"})
    sample = _typed(setup.SAMPLE) | {"Barcode": "text", "Subject": "text", "Assay": "text", "Volume": "float"}
    fake.add_schema("custom_entity", "ts_Sample", sample)
    return fake


def _typed(fields: dict[str, tuple[str, set[str]]]) -> dict[str, str]:
    return {name: sorted(types)[0] for name, types in fields.values()}


class Hands:
    """What a person does in Benchling."""

    def __init__(self, fake: FakeBenchling) -> None:
        self.fake = fake

    def record(self, external_id: str) -> str:
        """Return the record of an entry."""
        (found,) = (
            i for i, e in self.fake.entities.items() if e["fields"].get("Entry", {}).get("value") == external_id
        )
        return found

    def edit(self, external_id: str, part: str) -> None:
        """Change one of our parts; a result is archived, and one of the person's own hand copies its place."""
        record = self.record(external_id)
        if part in (STATUS, LINKS):
            self.fake.set_fields(record, **{part.title(): "what a person wrote"})
        elif part == RESULTS:
            ours = [one for one in self.fake.live_results() if one["fields"]["record"]["value"] == record]
            self.fake.archive(ours[0]["id"])
        else:
            self._replace(
                record, part.removeprefix(FILE), [self.fake.add_blob(part.removeprefix(FILE), b"other")["id"]]
            )

    def remove(self, external_id: str, part: str) -> None:
        """Take one of our parts away."""
        record = self.record(external_id)
        if part in (STATUS, LINKS):
            self.fake.set_fields(record, **{part.title(): None})
        elif part == RESULTS:
            for result in self.fake.live_results():
                if result["fields"]["record"]["value"] == record:
                    self.fake.archive(result["id"])
        else:
            self._replace(record, part.removeprefix(FILE), [])

    def close(self, external_id: str, how: str = "deleted") -> None:
        """Archive the entry, or accept its review."""
        if how == "deleted":
            self.fake.archive(external_id)
        else:
            self.fake.entries[external_id]["reviewRecord"] = {"status": "ACCEPTED", "comment": "fine"}

    def announce(self, external_id: str, name: str, samples: dict[str, str], title: str | None = None) -> str:
        """Write an entry and register its samples, or change them."""
        if external_id not in self.fake.entries:
            external_id = self.fake.add_entry("ts_Experiment", name)
        there = {
            one["name"]: i
            for i, one in self.fake.entities.items()
            if one["fields"].get("Experiment", {}).get("value") == external_id
        }
        for sample, barcode in samples.items():
            fields = {"Experiment": external_id, "Barcode": barcode or None}
            if sample in there:
                self.fake.set_fields(there[sample], **fields)
            else:
                self.fake.add_entity("ts_Sample", sample, fields)
        return external_id

    def _replace(self, record: str, name: str, blobs: list[str]) -> None:
        there = self.fake.entities[record]["fields"]["Files"]["value"] or []
        kept = [blob for blob in there if self.fake.blobs[blob][0]["name"] != name]
        self.fake.set_fields(record, Files=[*kept, *blobs])
