"""Long XML read as a stream, and what is refused in it."""

from __future__ import annotations

import io
import time
import tracemalloc
from pathlib import Path

import pytest
from run_folders import put

from labrelay.model.problem import Problem
from labrelay.parsers.xml_stream import Record, read_records, stream_records


def records(text: str | bytes, *names: str) -> tuple[list[Record], list[str]]:
    problems: list[Problem] = []
    data = text if isinstance(text, bytes) else text.encode()
    found = list(read_records(io.BytesIO(data), "x.xml", names, problems))
    return found, [problem.code for problem in problems]


def test_elements_that_were_asked_for_come_with_their_texts_and_lines() -> None:
    text = (
        '<r xmlns="urn:x">\n<User>Ann</User>\n<n:Image xmlns:n="y" n:id="1"><A>1</A><B>\n2 </B><A>3</A></n:Image></r>'
    )
    found, wrong = records(text, "image")
    assert wrong == []
    assert [(each.name, each.line) for each in found] == [("r", 1), ("user", 2), ("image", 3)]
    assert found[1].texts == {"": "Ann"}
    assert (found[2].texts, found[2].attributes["id"], found[2].inside) == ({"a": "1", "b": "2", "": ""}, "1", "r")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_the_bytes_decide_the_encoding_and_not_the_declaration(encoding: str) -> None:
    data = '<?xml version="1.0" encoding="utf-16"?><r><i>é</i></r>'.encode(encoding)
    found, wrong = records(b"\xff\xfe" + data if encoding == "utf-16-le" else data, "i")
    assert ([each.texts for each in found][1:], wrong) == ([{"": "é"}], [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>", "XML_REFUSED"),
        ("<a>" * 100, "XML_REFUSED"),
        ("<r><i>1</i>", "BAD_XML"),
        ("", "BAD_XML"),
        ("<r><!--" + "x" * 3_000_000, "XML_REFUSED"),
        (f'<r a="{"x" * 3_000_000}"/>', "XML_REFUSED"),
    ],
)
def test_what_no_instrument_writes_is_refused_at_once(text: str, code: str) -> None:
    began = time.monotonic()
    assert records(text, "i")[1] == [code]
    assert time.monotonic() - began < 5


def test_a_long_file_stays_small_in_memory(tmp_path: Path) -> None:
    line = "<Image><Row>1</Row><URL>r01c01.tiff</URL></Image>\n"
    put(tmp_path, "Index.xml", f"<r>{line * 100_000}</r>")
    tracemalloc.start()
    count = sum(record.name == "image" for record in stream_records(tmp_path, "Index.xml", ("image",), []))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert peak < 32 * 1024 * 1024


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert list(stream_records(tmp_path, "gone.xml", (), problems)) == []
    assert [problem.code for problem in problems] == ["UNREADABLE"]
