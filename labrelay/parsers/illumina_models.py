"""What people call an Illumina instrument, by the name of its control software or by its serial number."""

from __future__ import annotations

import re

_MODELS = {
    "miseq": "MiSeq",
    "miseqi100": "MiSeq i100",
    "miseqi100plus": "MiSeq i100 Plus",
    "miseqi100series": "MiSeq i100",
    "miniseq": "MiniSeq",
    "nextseq": "NextSeq 500/550",
    "nextseq500": "NextSeq 500/550",
    "nextseq550": "NextSeq 500/550",
    "nextseq500/550": "NextSeq 500/550",
    "nextseq1000": "NextSeq 1000/2000",
    "nextseq2000": "NextSeq 1000/2000",
    "nextseq1000/2000": "NextSeq 1000/2000",
    "novaseq": "NovaSeq 6000",
    "novaseq6000": "NovaSeq 6000",
    "novaseqx": "NovaSeq X",
    "novaseqxplus": "NovaSeq X Plus",
    "novaseqxseries": "NovaSeq X",
    "iseq": "iSeq 100",
    "iseq100": "iSeq 100",
    "hiseq": "HiSeq",
    "hiseqx": "HiSeq X",
}
# The serial number begins with letters of the model, for folders that came without RunParameters.xml.
_SERIALS = (
    ("ST-E", "HiSeq X"),
    ("E", "HiSeq X"),
    ("LH", "NovaSeq X"),
    ("VH", "NextSeq 1000/2000"),
    ("NS", "NextSeq 500/550"),
    ("NB", "NextSeq 500/550"),
    ("NDX", "NextSeq 500/550"),
    ("MN", "MiniSeq"),
    ("SH", "MiSeq i100"),
    ("SN", "HiSeq 2000/2500"),
    ("FS", "iSeq 100"),
    ("M", "MiSeq"),
    ("J", "HiSeq 3000/4000"),
    ("K", "HiSeq 3000/4000"),
    ("D", "HiSeq 2500"),
    ("A", "NovaSeq 6000"),
)
# These write CopyComplete.txt, so that its absence says something.
WRITES_COPY_COMPLETE = ("NovaSeq", "NextSeq 1000/2000", "MiSeq i100")
# These run two flow cells at once, and the letter before the flow cell in the run's id is the side.
TWO_SIDED = ("HiSeq", "NovaSeq")


def model_of_application(text: str) -> str:
    """Return the model that `NovaSeqXSeries Control Software` or `NovaSeqXPlus` stands for; the name itself if new."""
    bare = re.sub(r"\s*(?:Control|Operating) Software.*", "", text, flags=re.IGNORECASE)
    return _MODELS.get(bare.lower().replace(" ", ""), bare)


def model_of_serial(serial: str | None) -> str | None:
    """Return the model that a serial number stands for, or None."""
    return next((model for start, model in _SERIALS if serial and re.match(f"{start}[0-9]", serial)), None)


def finer_model(told: str | None, serial: str | None) -> str | None:
    """Return the model, by serial where the software of several models has one name (`HiSeq Control Software`)."""
    by_serial = model_of_serial(serial)
    if told is None or (told == "HiSeq" and (by_serial or "").startswith("HiSeq")):
        return by_serial
    return told


def side_of(run_id: str, flow_cell: str | None, model: str | None) -> str | None:
    """Return `A` or `B` as the run's id has it, of an instrument that runs two flow cells."""
    last = run_id.rpartition("_")[2]
    if not flow_cell or not (model or "").startswith(TWO_SIDED) or last[1:] != flow_cell or last[0] not in "AB":
        return None
    return last[0]
