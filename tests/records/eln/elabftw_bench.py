"""The hands of a person in the fake eLabFTW."""

from __future__ import annotations

from fake_elabftw import DELETED, FakeELabFTW

from labrelay.records.eln.elabftw_body import CAPTIONS, tables
from labrelay.records.eln.port import FILE


class Hands:
    """What a person does in eLabFTW."""

    def __init__(self, fake: FakeELabFTW) -> None:
        self.fake = fake

    def edit(self, external_id: str, part: str) -> None:
        """Change a word in one of our tables, or upload another file of the name."""
        experiment = int(external_id)
        if part.startswith(FILE):
            self.fake.add_file(experiment, part.removeprefix(FILE), b"what a person uploaded")
            return
        body = self.fake.experiments[experiment]["body"]
        (found,) = (one for one in tables(body) if one.caption == CAPTIONS[part])
        ours = body[found.start : found.end]
        head, cell, tail = ours.rpartition("</td>")
        changed = f"{head} as a person knows{cell}{tail}"
        self.fake.change(experiment, body=body.replace(ours, changed))

    def remove(self, external_id: str, part: str) -> None:
        """Take one of our tables, or a file, away."""
        experiment = int(external_id)
        if part.startswith(FILE):
            for upload in self.fake.experiments[experiment]["uploads"]:
                if upload["real_name"] == part.removeprefix(FILE):
                    upload["state"] = DELETED
            return
        body = self.fake.experiments[experiment]["body"]
        (found,) = (one for one in tables(body) if one.caption == CAPTIONS[part])
        self.fake.change(experiment, body=body[: found.start] + body[found.end :])

    def close(self, external_id: str, how: str = "deleted") -> None:
        """Delete or lock an experiment."""
        values = {"state": DELETED} if how == "deleted" else {"locked": 1, "locked_at": self.fake.tick()}
        self.fake.change(int(external_id), **values)

    def announce(self, external_id: str, name: str, samples: dict[str, str], title: str | None = None) -> str:
        """Write a table of samples into an experiment and tag it."""
        rows = "".join(f"<tr><td>{s}</td><td>{barcode}</td></tr>" for s, barcode in samples.items())
        table = f"<table><tbody><tr><th>Sample</th><th>Barcode</th></tr>{rows}</tbody></table>"
        if external_id.isdigit() and int(external_id) in self.fake.experiments:
            self.fake.change(int(external_id), title=name, body=f"<p>My plan</p>{table}")
            return external_id
        return str(self.fake.add(name, f"<p>My plan</p>{table}", tags="mouse|labrelay"))
