"""The audit trail as people use it: its head is anchored in the object store, all of it is verified, exported, read."""

from __future__ import annotations

from collections.abc import Iterator

from labrelay.model.errors import LabrelayError
from labrelay.model.problem import Frozen
from labrelay.records import anchors, audit
from labrelay.records.audit_verify import Trail, check, summary
from labrelay.steps.home import Home

NOT_LOCKED = "nothing locks this place: who may change the database can probably change the anchors too"


class Anchored(Frozen):
    """An anchor of the trail's head.

    Attributes:
        seq, hash: The head.
        where: The object's URI.
        new: Whether it was written now.
        locked: What keeps it from being changed, in words; None when nothing does.
    """

    seq: int
    hash: str
    where: str
    new: bool
    locked: str | None


class Verified(Frozen):
    """What a verification of the trail found, in sentences, and a line on what was looked at."""

    found: tuple[str, ...]
    more: int
    rows: int
    head: str
    anchored: int
    summary: str

    @property
    def whole(self) -> bool:
        """Whether everything is as it was written."""
        return not self.found


def anchor(home: Home) -> Anchored | None:
    """Store the head of the audit trail beside the instrument data; None while the trail is empty.

    Raises:
        LabrelayError: The store did not take it, or does not say whether it is locked.
    """
    with home.records.read() as session:
        head = audit.head(session)
    if head is None:
        return None
    ref, new = anchors.put(home.objects, head)
    locked = anchors.protection(home.objects)
    return Anchored(seq=head.seq, hash=head.hash, where=home.objects.uri(ref), new=new, locked=locked)


def keep_anchored(home: Home) -> str | None:
    """Anchor the head after other work, which must not fail for it; return why it could not be done.

    Cost: three look-ups when nothing has happened since the last one, else one small object.
    """
    try:
        with home.records.read() as session:
            head = audit.head(session)
        if head is not None:
            anchors.put(home.objects, head)
    except LabrelayError as error:
        return f"the audit trail was not anchored: {error}"
    return None


def verify_trail(home: Home, at_most: int = 100) -> Verified:
    """Verify the whole trail and its anchors. Cost: one pass over rows and anchors; memory grows with anchors only.

    Args:
        home: Where.
        at_most: So many findings are kept, the others are counted.
    """
    trail, found, more = Trail(), list[str](), 0
    with home.records.read() as session:
        for text in check(trail, audit.stored_rows(session), anchors.kept(home.objects)):
            if len(found) < at_most:
                found.append(text)
            else:
                more += 1
    return Verified(
        found=tuple(found),
        more=more,
        rows=trail.rows,
        head=f"{trail.head[0]}:{trail.head[1]}",
        anchored=trail.anchored,
        summary=summary(trail, len(found) + more),
    )


def exported_lines(home: Home) -> Iterator[str]:
    """Yield the trail as lines of an export, which `audit_verify` reads on any machine."""
    from labrelay.model.canonical import canonical_json

    with home.records.read() as session:
        for row in audit.exported(session):
            yield canonical_json(row)
