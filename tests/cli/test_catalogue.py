"""`labrelay catalogue`, as a person types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from emulated_datazone import zone
from shell import shell

from labrelay.steps.home import init_home, open_home

sys.path.insert(0, str(Path(__file__).parents[1] / "records"))

import seed


def test_results_are_published_and_found_and_again_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "emulator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "emulator")
    path = tmp_path / "home"
    init_home(path)
    run = shell(monkeypatch)

    def labrelay(*words: str) -> tuple[int, str, str]:
        said = run("--home", str(path), "catalogue", *words)
        return said.code, said.out, said.err

    code, _, err = labrelay("check")
    assert (code, err.count("\n")) == (2, 1)
    assert "no catalogue is set: write datazone_domain_id and datazone_project_id" in err
    with zone(tmp_path / "emulator") as lab:
        with (path / "labrelay.toml").open("a") as file:
            file.write(f'aws_region = "us-east-1"\naws_endpoint_url = "{lab.front.endpoint}"\n')
            file.write(f'datazone_domain_id = "{lab.domain}"\ndatazone_project_id = "{lab.project}"\n')
        home = open_home(path)
        seed.seed(home.records, 1, outputs=1)
        home.close()
        code, out, _ = labrelay("check")
        assert (code, "owns what is published" in out) == (0, True)
        assert labrelay("publish")[0] == 2
        assert "name the runs" in labrelay("publish", "run_1", "--all")[2]
        assert labrelay("publish", "--all")[1].endswith("2 entries written, 0 as they were\n")
        assert labrelay("publish", "--all")[1].endswith("0 entries written, 2 as they were\n")
        found = json.loads(labrelay("search", "SMP00000", "--json")[1])
        assert {each["kind"] for each in found} == {"result", "dataset"}
        assert labrelay("search", "nowhere")[1] == "nothing published fits nowhere\n"
