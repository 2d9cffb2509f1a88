"""eLabFTW keeps the promises of a notebook, though people write in the very text that our tables stand in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import parts as made
import pytest
from contract import HEADING, Bench, NotebookContract
from elabftw_bench import Hands
from fake_elabftw import ARCHIVED, KEY, FakeELabFTW
from listening import listening

from labrelay.model.errors import RefusedInput
from labrelay.model.qc import Verdict
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln.elabftw import open_notebook
from labrelay.records.eln.elabftw_body import MOST_ROWS, part_digest, tables, with_part
from labrelay.records.eln.port import FILE, Account, ChangedThere, Judgement, Link, LinksPart, Notebook, ResultsPart


@pytest.fixture
def fake() -> FakeELabFTW:
    return FakeELabFTW()


@pytest.fixture
def notebook(fake: FakeELabFTW) -> Iterator[Notebook]:
    with listening(fake) as url:
        opened = open_notebook(Account(url=f"{url}/", token=KEY))
        yield opened
        opened.close()


class TestELabFTW(NotebookContract):
    @pytest.fixture
    def bench(self, fake: FakeELabFTW, notebook: Notebook, request: pytest.FixtureRequest) -> Bench:
        return Bench(notebook, Hands(fake), request.node.name)


def test_what_people_write_around_our_tables_stays_to_the_letter(fake: FakeELabFTW, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    for part in (made.status("running"), made.results(1.0)):
        notebook.write(entry, part, None)
    body = fake.experiments[int(entry)]["body"]
    first = tables(body)[0].end
    theirs = "<h1>My &lt;notes&gt;</h1><table>\n<tr>\n<td>5 &micro;l</td></tr></table>"
    fake.change(int(entry), body=f"<p>before &amp; first</p>{body[:first]}{theirs}{body[first:]}<p>after</p>")
    stored = fake.experiments[int(entry)]["body"]
    notebook.write(entry, made.status("done"), notebook.digest(made.status("running")))
    now = fake.experiments[int(entry)]["body"]
    assert now.startswith("<p>before &amp; first</p>")
    assert now.endswith(stored[stored.index("</table>") + len("</table>") :])
    assert notebook.read(entry).parts["results"].digest == notebook.digest(made.results(1.0))


def test_markup_that_an_editor_writes_anew_is_no_edit(fake: FakeELabFTW, notebook: Notebook, tmp_path: Path) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    parts = [part for part in made.all_parts(tmp_path) if not part.name.startswith(FILE)]
    for part in parts:
        notebook.write(entry, part, None)
    body = fake.experiments[int(entry)]["body"]
    edited = body.replace("<td>", '<td style="width: 20%"><p>').replace("</td>", "</p></td>").replace("\n", "\r\n  ")
    fake.experiments[int(entry)]["body"] = edited
    assert {n: p.digest for n, p in notebook.read(entry).parts.items()} == {p.name: notebook.digest(p) for p in parts}


def test_a_link_that_leads_elsewhere_is_an_edit(fake: FakeELabFTW, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, made.links(), None)
    assert notebook.read(entry).parts["links"].digest == notebook.digest(made.links())
    body = fake.experiments[int(entry)]["body"]
    fake.change(int(entry), body=body.replace("lab.test", "elsewhere.test"))
    assert notebook.read(entry).parts["links"].digest != notebook.digest(made.links())


def test_a_copy_of_our_table_is_an_edit_and_goes_when_a_person_decides_for_ours(
    fake: FakeELabFTW, notebook: Notebook
) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, made.status("done"), None)
    body = fake.experiments[int(entry)]["body"]
    fake.change(int(entry), body=f"{body}<p>see below</p>{body}")
    there = notebook.read(entry).parts["status"].digest
    assert there != notebook.digest(made.status("done"))
    notebook.write(entry, made.status("done"), there)
    now = fake.experiments[int(entry)]["body"]
    assert len(tables(now)) == 1
    assert "see below" in now


def test_names_from_outside_are_text(fake: FakeELabFTW, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    evil = "<script>alert(1)</script></table><b>x"
    part = ResultsPart(
        judgements=(Judgement(sample=evil, run="r", workflow=evil, verdict=Verdict.PASS, computed=Verdict.PASS),),
        rows=(),
    )
    links = LinksPart(links=(Link(title=evil, url='https://lab.test/"><script>'),))
    for each in (part, links):
        notebook.write(entry, each, None)
        assert notebook.read(entry).parts[each.name].digest == notebook.digest(each)
    body = fake.experiments[int(entry)]["body"]
    assert "<script" not in body
    assert body.count("<table") == 2


def test_a_lost_answer_makes_no_second_experiment(fake: FakeELabFTW, notebook: Notebook) -> None:
    notebook.create("exp_12", HEADING)  # an identifier that begins alike is another
    fake.faults = ["", "lost"]
    with pytest.raises(Undeliverable):
        notebook.create("exp_1", HEADING)
    notebook.create("exp_1", HEADING.model_copy(update={"title": "renamed since"}))
    assert len(fake.experiments) == 2


def test_a_replaced_file_is_kept_as_an_earlier_version(fake: FakeELabFTW, notebook: Notebook, tmp_path: Path) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    one, two = made.file(tmp_path / "1", b"one"), made.file(tmp_path / "2", b"two")
    notebook.write(entry, one, None)
    notebook.write(entry, two, one.sha256)
    states = [upload["state"] for upload in fake.experiments[int(entry)]["uploads"]]
    assert states == [ARCHIVED, 1]


def test_a_file_whose_digest_is_of_another_kind_is_never_taken_for_ours(
    fake: FakeELabFTW, notebook: Notebook, tmp_path: Path
) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    part = made.file(tmp_path)
    notebook.write(entry, part, None)
    fake.experiments[int(entry)]["uploads"][0]["hash_algorithm"] = "md5"
    with pytest.raises(ChangedThere):
        notebook.write(entry, part, part.sha256)


@pytest.mark.parametrize(
    ("fault", "retry", "hint"),
    [(429, True, "429"), (500, True, "500"), ("html", True, "JSON"), (403, False, "right"), (400, False, "as asked")],
)
def test_each_refusal_says_whether_it_is_worth_another_try(
    fake: FakeELabFTW, notebook: Notebook, fault: int | str, retry: bool, hint: str
) -> None:
    fake.faults = [fault]
    with pytest.raises(Undeliverable, match=hint) as refused:
        notebook.find("exp_1")
    assert refused.value.retryable is retry
    assert refused.value.retry_after == (5 if fault in (429, 500) else 0)


def test_a_wrong_key_is_one_problem_and_stands_in_no_sentence(fake: FakeELabFTW) -> None:
    with listening(fake) as url:
        (problem,) = open_notebook(Account(url=url, token="3-wrong")).check()
    assert "eln_token" in str(problem)
    assert "3-wrong" not in str(problem)


def test_options_that_are_wrong_are_all_named() -> None:
    with pytest.raises(RefusedInput) as refused:
        open_notebook(Account(url="https://x.test", token="t", options={"category": "blue", "colour": "red"}))
    assert "colour" in str(refused.value)
    assert "blue" in str(refused.value)


def test_experiments_of_ours_and_those_without_the_tag_announce_nothing(fake: FakeELabFTW, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    fake.change(int(entry), tags="labrelay")
    fake.add("untagged", "<table><tr><th>Sample</th></tr><tr><td>a</td></tr></table>")
    assert notebook.announced_since(None).announcements == ()


def test_announcements_come_oldest_change_first_over_many_pages(fake: FakeELabFTW, notebook: Notebook) -> None:
    for number in range(120):
        Hands(fake).announce("", f"study {number}", {"a": ""})
    news = notebook.announced_since(None)
    assert [a.name for a in news.announcements] == [f"study {number}" for number in range(120)]
    fake.tick(86_400)
    Hands(fake).announce("7", "study 6", {"b": ""})
    news = notebook.announced_since(news.cursor)
    assert [a.name for a in news.announcements][-1] == "study 6"
    before = len(fake.calls)
    Hands(fake).announce("8", "study 7", {"b": ""})
    assert [a.name for a in notebook.announced_since(news.cursor).announcements] == ["study 6", "study 7"]
    assert len(fake.calls) - before == 1


def test_a_change_in_the_hour_that_comes_twice_when_summer_time_ends_is_heard(
    fake: FakeELabFTW, notebook: Notebook
) -> None:
    old, late = (int(Hands(fake).announce("", name, {"a": ""})) for name in ("old", "late"))
    fake.experiments[old]["modified_at"] = "2026-10-25 00:30:00"
    fake.experiments[late]["modified_at"] = "2026-10-25 02:59:59"
    cursor = notebook.announced_since(None).cursor
    fake.experiments[late].update(title="late, again", modified_at="2026-10-25 02:00:00")
    heard = notebook.announced_since(cursor)
    assert [each.name for each in heard.announcements] == ["late, again"]
    assert heard.cursor == cursor


def test_a_cursor_that_is_no_time_asks_for_all(fake: FakeELabFTW, notebook: Notebook) -> None:
    Hands(fake).announce("", "study", {"a": ""})
    assert [each.name for each in notebook.announced_since("soon").announcements] == ["study"]


def test_a_table_of_samples_may_have_columns_of_its_own(fake: FakeELabFTW, notebook: Notebook) -> None:
    body = (
        "<table><tr><th>Reagent</th></tr><tr><td>ethanol</td></tr></table>"
        "<table><tr><td>sample-id</td><td>Subject</td><td>Volume (ul)</td><td>aliases</td></tr>"
        "<tr><td>s1</td><td>p-7</td><td>20</td><td>S-1; one</td></tr><tr><td></td><td></td><td></td></tr></table>"
    )
    metadata = {"extra_fields": {"Project": {"type": "text", "value": "P1"}}}
    fake.add("study", body, tags="labrelay", metadata=metadata)
    (heard,) = notebook.announced_since(None).announcements
    (sample,) = heard.samples
    assert (sample.name, sample.subject, sample.aliases) == ("s1", "p-7", ("S-1", "one"))
    assert sample.attributes == {"volume_(ul)": "20"}
    assert (heard.project, heard.owner) == ("P1", "Ada Lovelace")


def test_what_is_wrong_with_samples_holds_the_announcement_back(fake: FakeELabFTW, notebook: Notebook) -> None:
    Hands(fake).announce("", "study", {"a": "not a barcode"})
    (heard,) = notebook.announced_since(None).announcements
    assert [problem.code for problem in heard.problems] == ["BAD_BARCODE"]


def test_a_change_beyond_the_rows_that_are_shown_is_a_change() -> None:
    row = made.results().rows[0]
    rows = [row.model_copy(update={"sample": f"s{n}"}) for n in range(MOST_ROWS + 2)]
    one = ResultsPart(judgements=(), rows=tuple(rows))
    other = ResultsPart(judgements=(), rows=(*rows[:-1], row.model_copy(update={"value": 0.5})))
    bodies = [with_part("", part) for part in (one, other)]
    assert len(tables(bodies[0])[0].rows) == MOST_ROWS + 2
    assert part_digest(bodies[0], "results") != part_digest(bodies[1], "results")


@pytest.mark.parametrize(
    "body",
    ["", "<table>", "<table><tr><td>x", "</table></td></tr>", "<table><caption>Labrelay: status</caption>", "<<>>&#x;"],
)
def test_text_that_is_broken_hides_no_part_and_breaks_nothing(body: str) -> None:
    part = made.status("done")
    assert part_digest(body, "status") is None
    assert body in with_part(body, part) or not body
