from __future__ import annotations

import hashlib

import pytest
from fastq_text import scan
from hypothesis import given, settings
from hypothesis import strategies as st

from labrelay.parsers.read_names import split_name

WORDS = st.text(st.sampled_from("ab/12:. \t"), max_size=130)


@pytest.mark.parametrize(
    ("header", "name", "mate"),
    [
        ("@A00684:261:HNJK2DSX7:1:1101:1:2 1:N:0:CCGCGGTT+AGCGCTAG", "A00684:261:HNJK2DSX7:1:1101:1:2", 1),
        ("@A00684:261:HNJK2DSX7:1:1101:1:2 2:Y:18:ATG", "A00684:261:HNJK2DSX7:1:1101:1:2", 2),
        ("@HWUSI-EAS100R:6:73:941:1973#0/1", "HWUSI-EAS100R:6:73:941:1973#0", 1),
        ("@read/2 comment", "read", 2),
        ("@SRR7517490.65418", "SRR7517490.65418", None),
        ("@SRR7517490.65418 65418 length=150", "SRR7517490.65418", None),
        ("@m54013_151205_032353/4391137/0_100", "m54013_151205_032353/4391137/0_100", None),
        ("@m64011/12/ccs", "m64011/12/ccs", None),
        ("@0a1b-uuid\trunid=x ch=1", "0a1b-uuid", None),
        ("@read 3:N:0:ATG", "read", None),
        ("@read 12 length=9", "read", None),
        ("@read/3", "read/3", None),
        ("@x", "x", None),
    ],
)
def test_names_of_every_platform_are_split_from_their_mate_number(header: str, name: str, mate: int | None) -> None:
    assert split_name(header.encode()) == (name.encode(), mate)


@given(st.lists(WORDS, min_size=1, max_size=12), st.integers(1, 400))
@settings(deadline=None, max_examples=300)
def test_the_digest_in_blocks_is_that_of_the_plain_names(words: list[str], block: int) -> None:
    headers = [f"@n{word}" for word in words]
    text = "".join(f"{header}\nA\n+\nI\n" for header in headers).encode()
    plain = [split_name(header.encode()) for header in headers]
    stats = scan(text, block_bytes=block)
    assert stats.names_digest == hashlib.sha256(b"".join(_row(name) for name, _ in plain)).hexdigest()
    mates = {mate for _, mate in plain}
    assert stats.mate == (mates.pop() if len(mates) == 1 else None)


def _row(name: bytes) -> bytes:
    if len(name) < 64:
        return name.ljust(63, b"\0") + bytes([len(name)])
    return hashlib.sha512(name).digest()[:63] + b"\xff"


@pytest.mark.parametrize("length", [1, 7, 62, 63, 64, 65, 66, 127, 128, 129, 300])
@pytest.mark.parametrize(
    ("ends", "mate"), [(("/1", "/2"), 1), ((" 1:N:0:A", " 2:N:0:A"), 1), (("", " length=9"), None)]
)
def test_mates_have_equal_digests_whatever_the_length_of_their_names(
    length: int, ends: tuple[str, str], mate: int | None
) -> None:
    names = ["x" * length + str(n) for n in range(5)]
    first, second = ("".join(f"@{name}{end}\nA\n+\nI\n" for name in names).encode() for end in ends)
    one, two = scan(first), scan(second, block_bytes=100)
    assert one.names_digest == two.names_digest
    assert one.mate == mate


def test_two_names_that_differ_in_one_byte_anywhere_have_other_digests() -> None:
    seen = set()
    for length in (1, 8, 63, 64, 65, 200):
        for place in range(length):
            name = bytearray(b"a" * length)
            name[place] = ord("b")
            seen.add(scan(b"@" + bytes(name) + b"\nA\n+\nI\n").names_digest)
    assert len(seen) == 1 + 8 + 63 + 64 + 65 + 200


def test_the_order_and_the_borders_of_names_matter() -> None:
    def digest(*names: str) -> str:
        return scan("".join(f"@{name}\nA\n+\nI\n" for name in names).encode()).names_digest

    assert len({digest("a", "b"), digest("b", "a"), digest("ab"), digest("a"), digest("a", "b", "b")}) == 5


def test_a_file_with_both_mates_in_turn_carries_no_mate_number() -> None:
    text = b"".join(b"@r%d/%d\nA\n+\nI\n" % (n // 2, n % 2 + 1) for n in range(20))
    assert scan(text).mate is None
