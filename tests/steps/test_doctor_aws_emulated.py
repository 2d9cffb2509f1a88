"""What `init` makes on the emulator, `doctor --aws` finds well; what is deleted under it, it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from emulated import Emulated
from shell import Said, shell

ROLE = "arn:aws:iam::123456789012:role/labrelay-healthomics"


def broken(said: Said) -> dict[str, str]:
    return {each["what"]: each["text"] for each in said.json["findings"] if each["health"] == "broken"}


def test_a_home_that_init_made_is_well_and_what_is_gone_is_named(
    emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    labrelay = shell(monkeypatch, tmp_path / "lab")
    made = labrelay("init", "--profile", "healthomics", "--bucket", "lab-doctor", "--role-arn", ROLE)
    assert made.code == 0, made.err
    emulator.client("iam").create_role(
        RoleName="labrelay-healthomics",
        AssumeRolePolicyDocument=labrelay("aws", "policies", "service", "--document", "trust").out,
    )
    said = labrelay("doctor", "--aws", "--json")
    assert broken(said) == {}, said.out
    found = {each["what"]: each for each in said.json["findings"]}
    assert {"identity", "bucket", "versions", "sequences", "references", "run group", "run cache"} <= set(found)
    assert "lets HealthOmics take it" in found["role"]["text"]

    settings = {each["name"]: each["value"] for each in said.json["settings"]}
    emulator.client("omics").delete_run_group(id=settings["run_group_id"])
    emulator.client("iam").delete_role(RoleName="labrelay-healthomics")
    again = labrelay("doctor", "--aws", "--json")
    assert again.code == 1
    assert set(broken(again)) == {"run group"}
    assert "there is no role" in next(each["text"] for each in again.json["findings"] if each["what"] == "role")
