"""The `.eln` archive of an experiment: what its notebook page needs, in one file that any ELN of the consortium reads.

One experiment is one entry: its body is the results' table, its files are the table, the reports, the figures and the
provenance crates' metadata. Bulk data never goes in; the body says where it is. Follows the ELN file format of
TheELNConsortium on RO-Crate 1.1: one root folder, named as the archive, with `ro-crate-metadata.json` in it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from labrelay.model.experiment import Experiment
from labrelay.model.names import slug
from labrelay.model.words import counted
from labrelay.records.crate_graph import CrateGraph, Ref, local_id
from labrelay.records.crate_origin import NO_LICENCE
from labrelay.records.documents import METADATA, Document, number_text, utc_text
from labrelay.records.report.sentences import provenance, sample_names, verdict_reasons
from labrelay.records.result import Result
from labrelay.records.tables import Cell, Column, Table, results_table, table_csv
from labrelay.stores.durable import human_bytes, make_dirs, storage_errors, write_atomic

LARGEST_FILE = 5 << 20  # bytes; a document larger than this is bulk data to a notebook
NEVER = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold: the archive's bytes tell no time of packing


@dataclass(frozen=True)
class ElnResult:
    """A result and the documents about it that go with it: report, figures, crate metadata."""

    result: Result
    documents: Sequence[Document] = ()


@dataclass(frozen=True)
class _Member:
    """A file of the archive: path below the root folder, what a person calls it, its bytes."""

    path: str
    title: str
    media_type: str
    content: bytes


def write_eln(experiment: Experiment, entries: Sequence[ElnResult], path: Path) -> Document:
    """Write the archive of an experiment's results, whole or not at all; the same input gives the same bytes.

    Args:
        experiment: Becomes the one entry of the archive.
        entries: Its results in the order of the table; documents over 5 MiB are named in the body, not packed.
        path: The archive, ending in `.eln`; its stem names the root folder.

    Raises:
        StorageFailed: A document could not be read, or the disk did not take the archive.
    """
    with storage_errors(f"write {path.name}", path.parent):
        make_dirs(path.parent)
        folder = slug(experiment.name)
        members, left_out = _members(entries, folder)
        body = _body(experiment, entries, left_out)
        metadata = _metadata(experiment, entries, folder, members, body)
        write_atomic(path, _pack(path.stem, [_Member(METADATA, METADATA, "application/json", metadata), *members]))
    return Document(path, "Notebook archive (.eln)", "application/vnd.eln+zip")


def _members(entries: Sequence[ElnResult], folder: str) -> tuple[list[_Member], list[str]]:
    """Read what goes in; return it with the names of documents that are too large for a notebook."""
    table = table_csv(results_table([entry.result for entry in entries]))
    members = [_Member(f"{folder}/results.csv", "Results table", "text/csv", table)]
    left_out = []
    for entry in entries:
        place = f"{folder}/{_entry_folder(entry.result)}"
        for made in sorted(entry.documents, key=lambda d: d.path.name):
            size = made.path.stat().st_size
            if size > LARGEST_FILE:
                left_out.append(f"{made.title} of {entry.result.title} ({human_bytes(size)})")
                continue
            # Two files of the metadata's name would make readers guess which one describes the archive.
            name = "provenance-crate.json" if made.path.name == METADATA else made.path.name
            title = f"{made.title}: {entry.result.title}"
            members.append(_Member(f"{place}/{slug(name)}", title, made.media_type, made.path.read_bytes()))
    return members, left_out


def _entry_folder(result: Result) -> str:
    name = slug(result.samples[0].name) if len(result.samples) == 1 else f"{len(result.samples)}-samples"
    return f"{name}-{result.run_id}"


def _metadata(
    experiment: Experiment, entries: Sequence[ElnResult], folder: str, members: Sequence[_Member], body: Markup
) -> bytes:
    graph = CrateGraph(Path(folder))
    ended = sorted(utc_text(entry.result.ended) for entry in entries)
    latest = ended[-1] if ended else "1980-01-01T00:00:00.000Z"
    author = (
        graph.add(local_id("agent", experiment.owner), "Person", name=experiment.owner) if experiment.owner else None
    )
    publisher = graph.add(local_id("organization", "Labrelay"), "Organization", name="Labrelay")
    parts = [_describe(graph, member) for member in members]
    graph.add_data(
        f"{quote(folder)}/",
        "Dataset",
        name=experiment.title or experiment.name,
        alternateName=experiment.name,
        identifier=experiment.external_id or experiment.id,
        genre="experiment",
        author=author,
        dateCreated=ended[0] if ended else latest,
        dateModified=latest,
        keywords=",".join(sorted({entry.result.workflow.name for entry in entries})) or None,
        text=str(body),
        encodingFormat="text/html",
        hasPart=parts,
    )
    graph.describe_root(
        name=f"Results of {experiment.name}",
        description=f"{counted(len(entries), 'result')} of experiment {experiment.name}, made by Labrelay",
        datePublished=latest,
        license=NO_LICENCE,
    )
    graph.entity({"@id": METADATA}).update({"sdPublisher": publisher, "dateCreated": latest, "version": "1.0"})
    return graph.render()


def _describe(graph: CrateGraph, member: _Member) -> Ref:
    digest = hashlib.sha256(member.content).hexdigest()
    name = member.path.rsplit("/", 1)[-1]
    return graph.add_file(
        member.path, digest, len(member.content), name, description=member.title, encodingFormat=member.media_type
    )


def _body(experiment: Experiment, entries: Sequence[ElnResult], left_out: Sequence[str]) -> Markup:
    """Return the entry's text as HTML: the table, then each result in sentences."""
    table = results_table([entry.result for entry in entries])
    parts = [Markup("<h1>{}</h1>").format(experiment.title or experiment.name), html_table(table)]
    for entry in entries:
        result = entry.result
        parts.append(Markup("<h2>{}, {}</h2>").format(sample_names(result), result.verdict.value))
        parts.append(_list([*verdict_reasons(result), *provenance(result)]))
    if left_out:
        parts.append(
            Markup("<p>Too large for the notebook, kept with the results: {}.</p>").format("; ".join(left_out))
        )
    parts.append(Markup("<p>Reads, alignments and other bulk data stay in the lab's store.</p>"))
    return Markup("\n").join(parts)


def html_table(table: Table) -> Markup:
    """Return a table as plain HTML without styles, for the body of a notebook's entry."""
    head = Markup("").join(Markup("<th>{}</th>").format(column.heading) for column in table.columns)
    rows = [
        Markup("").join(_cell(column, cell) for column, cell in zip(table.columns, row, strict=True))
        for row in table.rows
    ]
    lines = Markup("\n").join(Markup("<tr>{}</tr>").format(row) for row in rows)
    return Markup("<table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>").format(head, lines)


def _cell(column: Column, cell: Cell) -> Markup:
    shown = number_text(cell) if column.kind == "number" and not isinstance(cell, str) else cell or ""
    return Markup("<td>{}</td>").format(shown)


def _list(items: Sequence[Markup]) -> Markup:
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(item) for item in items))


def _pack(root: str, members: Sequence[_Member]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for member in members:
            info = zipfile.ZipInfo(f"{root}/{member.path}", NEVER)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, member.content)
    return out.getvalue()
