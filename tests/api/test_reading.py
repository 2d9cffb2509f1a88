"""What the door reads out is what the command line says, in parts, at a cost that does not grow with the lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text
from tiny_run import TinyLab

from labrelay.api.app import make_app
from labrelay.records import tokens
from labrelay.steps import listing, results
from labrelay.steps.announce import announce
from labrelay.steps.home import Home
from labrelay.steps.process import process


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, TestClient]]:
    made = TinyLab(tmp_path_factory.mktemp("lab"), samples={"alpha": 50, "beta": 30, "gamma": 20})
    home = made.open()
    announce(home, made.table)
    process(home, made.run)
    with home.records.write() as session:
        secret = tokens.add(session, "reader", ["read"]).secret
    client = TestClient(make_app(home), headers={"Authorization": f"Bearer {secret}"})
    yield home, client
    home.close()


def ask(client: TestClient, path: str, **params: Any) -> Any:
    answer = client.get(f"/api{path}", params=params or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_runs_and_results_come_in_parts_that_make_the_whole(lab: tuple[Home, TestClient]) -> None:
    home, client = lab
    for path, whole in (("/runs", listing.runs(home)), ("/results", results.results_table(home))):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        for _part in range(3):
            page = ask(client, path, limit=1, **cursor)
            assert len(page["items"]) == 1
            seen.append(page["items"][0]["run"])
            cursor = {"cursor": page["next"]}
        assert page["next"] is None
        assert sorted(seen) == sorted(line.run for line in whole)
        assert seen == [item["run"] for item in ask(client, path)["items"]]


def test_parts_are_right_though_runs_were_asked_for_at_the_same_moment(lab: tuple[Home, TestClient]) -> None:
    home, client = lab
    with home.records.write() as session:
        session.execute(text("UPDATE workflow_run SET created_at = (SELECT min(created_at) FROM workflow_run)"))
    first = ask(client, "/runs", limit=2)
    second = ask(client, "/runs", limit=2, cursor=first["next"])
    ids = [item["run"] for item in first["items"] + second["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 3


def test_runs_are_narrowed(lab: tuple[Home, TestClient]) -> None:
    _home, client = lab
    assert len(ask(client, "/runs", state="COMPLETE")["items"]) == 3
    assert ask(client, "/runs", state="RUNNING")["items"] == []
    assert [run["sample"] for run in ask(client, "/runs", sample="beta")["items"]] == ["beta"]
    assert client.get("/api/runs", params={"sample": "nobody"}).status_code == 404
    assert client.get("/api/runs", params={"state": "GONE"}).status_code == 422
    assert client.get("/api/runs", params={"limit": 201}).status_code == 422


def test_one_run_and_one_result_are_told_in_full_without_paths_of_the_server(lab: tuple[Home, TestClient]) -> None:
    home, client = lab
    line = next(row for row in results.results_table(home) if row.sample == "alpha")
    run, result = ask(client, f"/runs/{line.run}"), ask(client, f"/results/{line.run}")
    assert (run["state"], run["tries"][0]["tasks"][0]["name"]) == ("COMPLETE", "count")
    assert len(run["inputs"]) == 2
    metric = next(metric for metric in result["metrics"] if metric["name"] == "read_pairs")
    assert (metric["value"], metric["unit"], metric["verdict"]) == (50, "count", "pass")
    assert all(len(file["sha256"]) == 64 for file in result["outputs"])
    assert str(home.path) not in str(result) + str(run["tries"])
    assert client.get("/api/runs/run_0000000000000000").status_code == 404
    assert client.get("/api/results/run_0000000000000000").status_code == 404


def test_lineage_and_search_answer_as_the_command_line_does(lab: tuple[Home, TestClient]) -> None:
    _home, client = lab
    up = ask(client, "/lineage/alpha", direction="down")
    assert {"sample", "dataset", "workflow run", "file"} <= {node["kind"] for node in up["nodes"]}
    assert client.get("/api/lineage/nothing").status_code == 404
    assert client.get("/api/lineage/alpha", params={"direction": "sideways"}).status_code == 422
    found = ask(client, "/search", q="alph", kind="sample")
    assert [hit["name"] for hit in found["hits"]] == ["alpha"]
    assert client.get("/api/search", params={"q": "wrokflow:x"}).status_code == 422


def test_a_list_costs_the_same_number_of_statements_whatever_its_length(lab: tuple[Home, TestClient]) -> None:
    home, client = lab
    said: list[str] = []
    event.listen(home.records.engine, "before_cursor_execute", lambda _c, _u, statement, *_: said.append(statement))
    for path, most in (("/runs", 6), ("/results", 8)):
        counts = []
        for limit in (1, 3):
            said.clear()
            ask(client, path, limit=limit)
            counts.append(len([statement for statement in said if statement.startswith("SELECT")]))
        assert counts[0] == counts[1] <= most, counts


def test_every_field_of_an_answer_is_explained(lab: tuple[Home, TestClient]) -> None:
    _home, client = lab
    schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    ours = ("Accepted", "MessageState", "Run", "RunInFull", "ResultLine", "Result", "Metric", "Task", "File", "Health")
    bare = [
        f"{name}.{field}"
        for name in ours
        for field, schema in schemas[name]["properties"].items()
        if "description" not in schema
    ]
    assert bare == []


def test_the_parts_of_lists_use_their_index(lab: tuple[Home, TestClient]) -> None:
    home, _client = lab
    query = "EXPLAIN QUERY PLAN SELECT id FROM workflow_run ORDER BY created_at DESC, id DESC LIMIT 51"
    with home.records.read() as session:
        plan = " ".join(str(row) for row in session.execute(text(query)))
    assert "ix_workflow_run_created" in plan


def test_health_needs_no_token(lab: tuple[Home, TestClient]) -> None:
    _home, client = lab
    assert TestClient(client.app).get("/api/health").json()["status"] == "ok"


def test_a_misspelt_parameter_is_a_mistake_that_names_the_others(lab: tuple[Home, TestClient]) -> None:
    _home, client = lab
    answer = client.get("/api/health", params={"lmit": 1})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "lmit is no parameter of this route: it takes none",
    )
