"""Finding things again: by words in names, aliases, attributes and paths, with counts to narrow by.

    SMP00042              what has a word that begins so, whatever its case and accents
    "clinic 3" measles    both; quotes keep words together
    state:COMPLETE verdict:fail workflow:viral_variants    fields, as the facets name them
    assay:"measles amplicon"    a field with a blank in its value

A full-text index answers (`search_engine`); what is called exactly so comes first, then what begins so, then the
newest. What the index cannot find, because it stands in the middle of a word, is looked for in the names of all but
files. Counts of facets are kept (`search_group`) for a search without words; with words they stop at 2,000 of a kind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, literal, select, union_all
from sqlalchemy.orm import Session

from labrelay.model.errors import UsageError
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.records import search_engine
from labrelay.records.search_engine import Phrase
from labrelay.records.search_schema import FACETS, SearchDocumentRow, SearchGroupRow
from labrelay.records.search_words import facet_word, words_of

Kind = Literal["experiment", "sample", "instrument run", "workflow run", "file"]
MAX_TEXT, MAX_WORDS, MAX_LIMIT = 500, 10, 1000
COUNTED = 2000  # things of a kind that are counted one by one
GROUPS = 100  # combinations of facets whose newest things are looked at for a search without words
# What narrows each kind.
FACETS_OF: dict[Kind, tuple[str, ...]] = {
    "experiment": ("project", "month"),
    "sample": ("project", "assay", "experiment", "month"),
    "instrument run": ("platform", "state", "month"),
    "workflow run": ("project", "assay", "experiment", "workflow", "state", "verdict", "stale", "month"),
    "file": ("role", "month"),
}
KINDS: tuple[Kind, ...] = tuple(FACETS_OF)
FIELDS = frozenset(FACETS)
_TOKEN = re.compile(rf'(?i:({"|".join(FACETS)}):"([^"]*[^"\s][^"]*)"|"([^"]*)"|(\S+))')
_LIKE_A_FIELD = re.compile(r"[A-Za-z_]{3,20}\Z")  # `chr1:200` and `C:` are words
_ID = re.compile(r"[a-z]{3}_[0-9a-f]{1,16}\Z")
_LAST = "\U0010ffff"  # sorts after every other character


class Hit(Frozen):
    """Something found.

    Attributes:
        kind: In words.
        id: With its kind in front.
        name: What people call it; a file's key.
        detail: What tells it from others of its kind.
        state: Its state, where it has one.
        at: When it came to be known, ISO 8601 in UTC.
    """

    kind: Kind
    id: str
    name: str
    detail: str = ""
    state: str | None = None
    at: str


class Found(Frozen):
    """The first hits, how many there are of each kind, and for each field how many have which value.

    Attributes:
        more: Kinds of which there are more than their total says; then the facets are those of the newest.
    """

    hits: tuple[Hit, ...]
    totals: dict[str, int]
    facets: dict[str, dict[str, int]]
    more: tuple[str, ...] = ()


class Question(Frozen):
    """A parsed search: words that all have to be there, and fields that have to have a value."""

    words: tuple[str, ...] = ()
    fields: dict[str, str] = {}


def search(session: Session, text: str, kind: Kind | None = None, limit: int = 50) -> Found:
    """Return what has all words of `text` in it, what is called exactly so first, then the newest of each kind.

    Args:
        session: Where.
        text: Whatever a person typed; nothing in it is an error. Empty finds everything.
        kind: Look for this kind only.
        limit: Most hits, 1 to 1,000; totals and facets count all, up to `COUNTED` of a kind where there are words.

    Raises:
        UsageError: There is no such kind.
    """
    if kind is not None and kind not in FACETS_OF:
        raise UsageError(f"there are no {kind}s to search; the kinds are {', '.join(KINDS)}")
    question = parse(text)
    most = min(max(limit, 1), MAX_LIMIT)
    kinds = [k for k in KINDS if kind in (None, k) and set(question.fields) <= set(FACETS_OF[k])]
    if not question.words:
        return _browse(session, kinds, question.fields, most)
    found = _of_id(session, kinds, question)
    if not any(found.values()):
        found = _indexed(session, kinds, question)
    if not any(found.values()):
        found = _inside_names(session, kinds, question)
    totals: dict[str, int] = {k: min(len(found[k]), COUNTED) for k in kinds}
    counted = Counter(group for k in kinds for _id, group in found[k][:COUNTED])
    hits = _hits(session, _first(session, kinds, question, found, most))
    return Found(
        hits=_ranked(hits, question, kinds)[:most],
        totals=totals,
        facets=_facets(_groups(session, SearchGroupRow.id.in_(list(counted))), counted),
        more=tuple(k for k in kinds if len(found[k]) > COUNTED),
    )


def refuse_unknown_fields(text: str) -> None:
    """Refuse what a person most likely meant as a field: `wrokflow:NAME` as a word would find nothing, in silence.

    Raises:
        UsageError: An unquoted `name:value` names no field; the sentence has those that there are.
    """
    for match in _TOKEN.finditer(text[:MAX_TEXT]):
        name, colon, value = (match[4] or "").partition(":")
        if not _LIKE_A_FIELD.match(name) or not colon or not value or value.startswith("//") or name.lower() in FIELDS:
            continue
        close = get_close_matches(name.lower(), FIELDS, 1)
        guess = f"did you mean {close[0]}:{value}? " if close else ""
        raise UsageError(
            f"{printable(name)}: is no field to search by: {guess}The fields are {', '.join(sorted(FIELDS))}; "
            f"'\"{printable(match[4])}\"', with both quotes, looks for the text as it is"
        )


def unknown_values(session: Session, text: str) -> list[str]:
    """Return a sentence for each field of a search whose value nothing has, with the values that there are."""
    told = []
    for name, value in parse(text).fields.items():
        column = getattr(SearchGroupRow, name)
        query = select(column).where(SearchGroupRow.count > 0, column != "").distinct().order_by(column)
        values = list(session.scalars(query.limit(MAX_LIMIT)))
        if facet_word(name, value) not in {facet_word(name, each) for each in values}:
            known = ", ".join(values[:12]) + (" …" if len(values) > 12 else "") or "nothing so far"
            told.append(printable(f"nothing has {name}:{value}; {name} is one of: {known}", 400))
    return told


def parse(text: str) -> Question:
    """Return the words and fields of what a person typed; whatever it is, it means something.

    Only known fields (`state:…`) are fields: `chr1:200` is a word. Control characters separate words.
    """
    plain = "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT])
    words, named = [], {}
    for match in _TOKEN.finditer(plain):
        field, given, quoted, token = match.groups()
        if field:
            named[field.lower()] = given.strip()
            continue
        name, colon, value = (token or "").partition(":")
        if token and colon and value and name.lower() in FIELDS:
            named[name.lower()] = value
        elif (word := (quoted if token is None else token).strip()) and word not in words:
            words.append(word)
    return Question(words=tuple(words[:MAX_WORDS]), fields=named)


def _browse(session: Session, kinds: Sequence[Kind], fields: Mapping[str, str], most: int) -> Found:
    """Answer a search without words from the kept counts. Cost: one query of the groups, one or two of hits a kind."""
    groups = _groups(session, and_(SearchGroupRow.count > 0, SearchGroupRow.kind.in_(kinds), _have(session, fields)))
    counts = {key: row.count for key, row in groups.items()}
    totals: dict[str, int] = dict.fromkeys(kinds, 0)
    for row in groups.values():
        totals[row.kind] += row.count
    hits: list[Hit] = []
    for k in kinds:
        if len(hits) < most and totals[k]:
            mine = [row for row in groups.values() if row.kind == k]
            hits += _hits(session, _newest(session, k, mine, most, everything=not fields))
    return Found(hits=tuple(hits[:most]), totals=totals, facets=_facets(groups, counts))


def _newest(session: Session, kind: Kind, groups: Sequence[Any], most: int, *, everything: bool) -> list[int]:
    """Return the newest documents of these groups; those of all kinds of groups need none of them."""
    ids = SearchDocumentRow.id
    if everything:
        query = select(ids).where(_of_kind(kind)).order_by(ids.desc()).limit(most)
        return list(session.scalars(query))
    # The newest of all are among the newest of those groups that have the newest.
    latest = sorted(groups, key=lambda row: -row.newest)[: min(most, GROUPS)]
    each = (
        select(ids).where(SearchDocumentRow.group_id == row.id).order_by(ids.desc()).limit(most).subquery()
        for row in latest
    )
    return sorted(session.scalars(union_all(*(select(part.c.id) for part in each))), reverse=True)[:most]


def _indexed(session: Session, kinds: Sequence[Kind], question: Question) -> dict[Kind, list[tuple[int, int]]]:
    """Return (document, group) of what the index has, the newest first, by kind."""
    cut = [words_of(word) for word in question.words]
    named = [facet_word(name, value) for name, value in question.fields.items()]
    found: dict[Kind, list[tuple[int, int]]] = {k: [] for k in kinds}
    if not all(cut):
        return found
    whole, begun = ([Phrase(tuple(words), begins) for words in cut] for begins in (False, True))
    # Whole words first: of a common one there are enough, and its beginnings would cost more to collect.
    for k in kinds:
        found[k] = search_engine.found(session, [k], named, whole, COUNTED + 1)
    for together in _neighbours([k for k in kinds if len(found[k]) <= COUNTED]):
        # What begins so is collected anew by each query, so that one for several kinds is as quick as one for one.
        most = (COUNTED + 1) * len(together)
        rows = search_engine.found(session, together, named, begun, most)
        for k in together:
            mine = [row for row in rows if search_engine.kind_of(row[0]) == k]
            # Cut off in the middle of a kind: then each for itself.
            again = len(rows) == most and len(together) > 1
            found[k] = search_engine.found(session, [k], named, begun, COUNTED + 1) if again else mine
    return found


def _neighbours(kinds: Sequence[Kind]) -> list[list[Kind]]:
    """Return kinds in runs of those that lie beside one another."""
    runs: list[list[Kind]] = []
    for k in kinds:
        if runs and KINDS.index(k) == KINDS.index(runs[-1][-1]) + 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    return runs


def _of_id(session: Session, kinds: Sequence[Kind], question: Question) -> dict[Kind, list[tuple[int, int]]]:
    """Return the thing of the id, or those of the beginning of one, that was asked for and nothing else."""
    found: dict[Kind, list[tuple[int, int]]] = {k: [] for k in kinds}
    id = question.words[0].lower()
    if len(question.words) == 1 and _ID.match(id):
        for key, group, kind in _beginning(session, SearchDocumentRow.entity_id, id, kinds, question):
            found[kind].append((key, group))
    return found


def _beginning(
    session: Session, column: Any, begin: str, kinds: Sequence[Kind], question: Question
) -> list[tuple[int, int, Kind]]:
    """Return (document, group, kind) of what begins so in an indexed column, in the order of that column."""
    row = SearchDocumentRow
    parts = []
    for k in kinds:
        near = select(row.id, row.group_id, column.label("text")).where(column >= begin, column < begin + _LAST)
        near = near.where(row.kind == k) if column is row.name_key else near.where(_of_kind(k))
        near = near.where(*_in_groups(session, question.fields))
        parts.append(select(near.order_by(column).limit(COUNTED).subquery()))
    part = union_all(*parts).subquery()
    query = select(part.c.id, part.c.group_id, SearchGroupRow.kind)
    query = query.join(SearchGroupRow, SearchGroupRow.id == part.c.group_id)
    query = query.order_by(part.c.text, part.c.id.desc())
    return [(found[0], found[1], found[2]) for found in session.execute(query)] if kinds else []


def _of_kind(kind: str) -> ColumnElement[bool]:
    return SearchDocumentRow.id.between(*search_engine.ids_of(kind))


def _inside_names(session: Session, kinds: Sequence[Kind], question: Question) -> dict[Kind, list[tuple[int, int]]]:
    """Return what has the words anywhere in its name; files, of which there may be a million, are left out."""
    row = SearchDocumentRow
    found: dict[Kind, list[tuple[int, int]]] = {k: [] for k in kinds}
    for k in (k for k in kinds if k != "file"):
        # By the index of names alone; the rows of what was found are read afterwards.
        inside = [row.name_key.contains(word.casefold(), autoescape=True) for word in question.words]
        part = select(row.id).where(row.kind == k, *inside, *_in_groups(session, question.fields))
        part = part.order_by(row.id.desc()).limit(COUNTED + 1)
        query = select(row.id, row.group_id).where(row.id.in_(part)).order_by(row.id.desc())
        found[k] = [(pair[0], pair[1]) for pair in session.execute(query)]
    return found


def _first(
    session: Session,
    kinds: Sequence[Kind],
    question: Question,
    found: Mapping[Kind, Sequence[tuple[int, int]]],
    most: int,
) -> list[int]:
    """Return the documents to show: those whose name begins with the whole question, then the newest of each kind."""
    named = []
    if any(found.values()):
        named = [
            each[0] for each in _beginning(session, SearchDocumentRow.name_key, _wanted(question), kinds, question)
        ]
    newest = [key for k in kinds for key, _group in found[k][:most]]
    return list(dict.fromkeys([*named[:most], *newest]))


def _wanted(question: Question) -> str:
    return " ".join(question.words).casefold()


def _hits(session: Session, ids: Sequence[int]) -> list[Hit]:
    """Return these documents as hits, the newest first."""
    row = SearchDocumentRow
    query = select(row.kind, row.entity_id, row.name, row.detail, row.state, row.at).where(row.id.in_(ids))
    found = session.execute(query.order_by(row.id.desc()))
    return [Hit(kind=r[0], id=r[1], name=r[2], detail=r[3], state=r[4], at=r[5]) for r in found]


def _ranked(hits: Iterable[Hit], question: Question, kinds: Sequence[Kind]) -> tuple[Hit, ...]:
    wanted = _wanted(question)

    def place(hit: Hit) -> tuple[int, int]:
        names = (hit.name.casefold(), hit.id)
        near = 0 if wanted in names else 1 if any(name.startswith(wanted) for name in names) else 2
        return near, kinds.index(hit.kind)

    return tuple(sorted(hits, key=place))


def _have(session: Session, fields: Mapping[str, str]) -> ColumnElement[bool]:
    """Return which groups have these values, whatever their case. Cost: one query of the groups a field."""
    named = []
    for name, value in fields.items():
        column = getattr(SearchGroupRow, name)
        # SQLite knows no case but that of ASCII.
        spelt = [each for each in session.scalars(select(column).distinct()) if each.casefold() == value.casefold()]
        named.append(column.in_(spelt))
    return and_(literal(True), *named)


def _in_groups(session: Session, fields: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """Return the condition that a document has these fields, before anything is cut off; none without fields."""
    if not fields:
        return []
    return [SearchDocumentRow.group_id.in_(select(SearchGroupRow.id).where(_have(session, fields)))]


def _groups(session: Session, where: ColumnElement[bool]) -> dict[int, Any]:
    """Return groups by their ids; rows and no objects, of which there may be thousands."""
    columns = [getattr(SearchGroupRow, name) for name in ("id", "kind", "count", "newest", *FACETS)]
    return {row.id: row for row in session.execute(select(*columns).where(where))}


def _facets(groups: Mapping[int, Any], counts: Mapping[int, int]) -> dict[str, dict[str, int]]:
    """Return how many things have which value, by field, the most frequent first."""
    found: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    first = groups and next(iter(groups.values()))._fields.index(FACETS[0])
    for key, count in counts.items():
        for name, value in zip(FACETS, groups[key][first:], strict=True):
            if value:
                found[name][value] += count
    return {name: dict(values.most_common()) for name, values in found.items() if values}
