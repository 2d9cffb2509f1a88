from __future__ import annotations

import time
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labrelay.parsers.text import cells, decode, delimiter_of, lines, to_datetime, to_int
from labrelay.parsers.xml import attribute, find_all, find_text, parse_xml

BOMB = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><RunInfo>&b;</RunInfo>'
HOSTILE = {
    "entity bomb": (BOMB, "XML_REFUSED"),
    "external entity": (b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>', "XML_REFUSED"),
    "bare document type": (b'<!DOCTYPE r SYSTEM "http://127.0.0.1/x.dtd"><r/>', "XML_REFUSED"),
    "document type in utf-16": (
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE r><r/>'.encode("utf-16"),
        "XML_REFUSED",
    ),
    "deep nesting": (b"<a>" * 200_000 + b"</a>" * 200_000, "XML_REFUSED"),
    "one level too deep": (b"<a>" * 65 + b"</a>" * 65, "XML_REFUSED"),
    "many elements": (b"<a>" + b"<b/>" * 200_000 + b"</a>", "XML_REFUSED"),
    "more than the cap": (b"<a>" + b"x" * 6_000_000 + b"</a>", "XML_REFUSED"),
    "unknown entity": (b"<a>&nothing;</a>", "BAD_XML"),
    "unclosed token": (b"<a " + b"x" * 5_000_000, "BAD_XML"),
    "cut": (b"<RunInfo><Run Id='x'>", "BAD_XML"),
    "empty": (b"", "BAD_XML"),
    "two roots": (b"<a/><b/>", "BAD_XML"),
    "binary": (bytes(range(256)), "BAD_XML"),
}


@pytest.mark.parametrize(("data", "code"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_xml_is_refused_at_once(data: bytes, code: str) -> None:
    started = time.process_time()
    root, problems = parse_xml(data, "RunInfo.xml")
    assert time.process_time() - started < 2
    assert root is None
    assert problems[-1].code == code


def test_one_large_token_is_parsed_in_one_piece() -> None:
    started = time.process_time()
    root, _ = parse_xml(b"<a b='" + b"x" * 5_000_000 + b"'/>", "f")
    assert root is not None
    assert time.process_time() - started < 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_bytes_decide_the_encoding_and_not_the_declaration(encoding: str) -> None:
    root, problems = parse_xml('<?xml version="1.0" encoding="utf-16"?><r>Ä</r>'.encode(encoding), "f")
    assert root is not None
    assert (root.text, problems) == ("Ä", ())


def test_a_declaration_of_utf_8_over_utf_16_and_of_an_unknown_encoding_changes_nothing() -> None:
    for data in (
        '<?xml version="1.0" encoding="utf-8"?><r>Ä</r>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="klingon"?><r/>',
    ):
        root, problems = parse_xml(data, "f")
        assert root is not None
        assert problems == ()


def test_tags_are_found_by_name_in_any_case_and_name_space() -> None:
    root, _ = parse_xml(
        b"<r xmlns:x='u'><x:Setup><RunID> </RunID><runid>7</runid></x:Setup><v NumCycles=' 5 '/></r>", "f"
    )
    assert root is not None
    assert find_text(root, "RunId") == "7"
    assert find_text(root, "nothing", "setup", "RUNID") == "7"
    assert [element.tag for element in find_all(root, "setup")] == ["x:Setup"]
    assert attribute(next(find_all(root, "v")), "numcycles") == "5"


@given(st.binary(max_size=400))
def test_any_bytes_give_a_tree_or_an_error(data: bytes) -> None:
    root, problems = parse_xml(data, "f")
    assert root is not None or problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("140211", "2014-02-11T00:00:00"),
        ("20220912", "2022-09-12T00:00:00"),
        ("6/19/2018 11:54:50 AM", "2018-06-19T11:54:50"),
        ("10/2/2020 1:32:09 PM", "2020-10-02T13:32:09"),
        ("2024-01-31T15:30:32Z", "2024-01-31T15:30:32+00:00"),
        ("2014-02-11T17:51:27.4294574-08:00", "2014-02-12T01:51:27.429457+00:00"),
    ],
)
def test_the_time_formats_of_instruments(text: str, expected: str) -> None:
    found = to_datetime(text)
    assert isinstance(found, datetime)
    assert found.isoformat() == expected


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "999999", "1234567", "13/13/2020 1:00:00 PM", "９９０１０１", "1" * 5_000]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert to_datetime(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 42 ", 42),
        ("0", 0),
        ("-1", None),
        ("1.0", None),
        ("", None),
        (None, None),
        ("9" * 5_000, None),
        ("４２", None),
    ],
)
def test_only_a_plain_count_is_a_number(text: str | None, number: int | None) -> None:
    assert to_int(text) == number


def test_many_short_cells_of_nul_padding_are_still_one_byte_text() -> None:
    text = b"ab\0\0" * 60
    assert (decode(text, "f").text, decode(b"a\0,\0" * 20, "f").text) == ("ab" * 60, "a," * 20)
    assert decode(b"abc\0" * 60, "f").text == "abc" * 60


def test_nul_padding_in_a_cell_is_not_taken_for_two_byte_text() -> None:
    decoded = decode(b"a,b,c\r\n1," + b"\0" * 16 + b",3\r\n", "f")
    assert decoded.text == "a,b,c\r\n1,,3\r\n"
    assert [problem.code for problem in decoded.problems] == ["NUL_BYTES"]


def test_three_kinds_of_line_end_count_the_same() -> None:
    assert lines("a\r\nb\rc\n\nd") == ["a", "b", "c", "", "d"]


def test_a_form_feed_or_a_line_separator_ends_no_line() -> None:
    assert lines("a\x0cb\u2028c") == ["a\x0cb\u2028c"]


@given(st.text(max_size=100), st.sampled_from([",", ";", "\t"]))
def test_any_line_has_cells(line: str, delimiter: str) -> None:
    row, balanced = cells(line, delimiter)
    assert isinstance(balanced, bool)
    assert all(cell == cell.strip() for cell in row)
    assert delimiter_of(line) in ",;\t"
