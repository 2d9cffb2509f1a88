"""Our calls of Benchling, and the fake's answers, are as Benchling's OpenAPI document says: Prism holds both."""

from __future__ import annotations

from pathlib import Path

import httpx
import parts as made
import pytest
from benchling_tenant import Hands, account, tenant
from contract import HEADING
from fake_benchling import ROUTES
from listening import listening
from prism import need_prism, prism

from labrelay.records.eln import benchling_api
from labrelay.records.eln.benchling import open_notebook

pytestmark = pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
OPERATIONS = [("/token", "POST"), *((path, method) for method, path, _ in ROUTES)]


def test_every_call_and_every_answer_is_as_benchlings_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_prism()
    monkeypatch.setattr(benchling_api, "AT_ONCE", 2)  # so that results are made by a task as well
    monkeypatch.setattr(benchling_api, "TASK_POLL", 0)
    fake = tenant()
    document = fake.contract.document
    with listening(fake) as upstream, prism(document, OPERATIONS, upstream, "/api/v2") as url:
        notebook = open_notebook(account(url))
        assert notebook.check() == []
        entry = notebook.create("exp_1", HEADING).external_id
        for part in made.all_parts(tmp_path):
            notebook.write(entry, part, None)
        Hands(fake).edit(entry, "file:alpha-report.html")
        monkeypatch.setattr(benchling_api, "AT_ONCE", 100)
        notebook.write(entry, made.results(2.0), notebook.digest(made.results()))
        assert set(notebook.read(entry).parts) == {part.name for part in made.all_parts(tmp_path)}
        announced = Hands(fake).announce("", "study", {"a": "ACGT"})
        fake.tick(3600)
        Hands(fake).announce(announced, "study", {"a": "ACGC"})
        cursor = notebook.announced_since(None).cursor
        fake.tick(3600)
        Hands(fake).announce(announced, "study", {"a": "ACGA"})
        assert [a.samples[0].barcode for a in notebook.announced_since(cursor).announcements][-1] == "ACGA"
        notebook.close()
        # Prism is no rubber stamp: a call that the document does not allow is refused before it arrives.
        before = len(fake.calls)
        token = {"Authorization": f"Bearer {next(iter(fake.tokens))}"}
        wrong = httpx.post(f"{url}/api/v2/assay-results:archive", json={"assayResultIds": "one"}, headers=token)
        assert wrong.status_code == 422
        assert len(fake.calls) == before
    assert {(method, path) for method, path, _ in ROUTES} - fake.served == set()
    assert fake.broken == []
