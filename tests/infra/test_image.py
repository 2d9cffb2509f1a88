"""The image's recipe: it reads as a Dockerfile, copies what is there, installs what the lock holds, and suffices."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dockerfile import ignored, instructions, problems, stages

from labrelay.workflows.batch.job_definition import PROGRAM
from labrelay.workflows.nextflow import runtime

ROOT = Path(__file__).parents[2]
FILE = ROOT / "infra" / "Dockerfile"
TEXT = FILE.read_text()
PYTHON = ROOT / ".venv-image" / "bin" / "python"


def ignore_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


IGNORE = ignore_lines((ROOT / "infra" / "Dockerfile.dockerignore").read_text())
VARIANTS = pytest.mark.parametrize("nextflow", ["no", "yes"])


@VARIANTS
def test_the_recipe_has_no_fault(nextflow: str) -> None:
    assert problems(TEXT, {"NEXTFLOW": nextflow}, ROOT, IGNORE) == []


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("COPY pyproject.toml", "COPY pyprojct.toml", "COPY pyprojct.toml: there is none"),
        ("COPY pyproject.toml", "COPY Makefile", "COPY Makefile: it is not sent"),
        ("--require-hashes ", "", "installs what no hash holds"),
        ("--no-index ", "", "installs what no hash holds"),
        ("FROM python\n", "FROM pyton\n", "FROM pyton names no stage"),
        ("--from=build", "--from=built", "--from=built names no stage"),
        ("then apt-get", "then then apt-get", "RUN apt-get update"),
        ("USER 1000:1000", "USER root", "runs as root"),
        ("WORKDIR", "WORKDIRS", "is no instruction"),
        ("&& touch .ready", "&& curl -O example.org/more", "fetches what no lock names"),
    ],
)
def test_a_planted_fault_is_seen(right: str, wrong: str, told: str) -> None:
    assert TEXT.count(right) == 1 or right == "--require-hashes "
    said = problems(TEXT.replace(right, wrong), {"NEXTFLOW": "yes"}, ROOT, IGNORE)
    assert len([line for line in said if told in line]) == 1, said


def test_homes_and_data_of_a_checkout_are_not_sent_to_the_builder() -> None:
    sent = {path.name for path in ROOT.iterdir() if not ignored(path.name, IGNORE)}
    assert sent == {"labrelay", "pyproject.toml", "README.md", "LICENSE"}
    assert ignored("locks/dev.txt", IGNORE)
    assert ignored("labrelay/flows/__pycache__", IGNORE)


def test_what_batch_jobs_and_tasks_call_is_in_the_image() -> None:
    last = stages(TEXT, {})[-1]
    installed = set(" ".join(last.of("RUN")).split())
    assert {"bubblewrap", "samtools", "bcftools", "minimap2"} <= installed
    assert re.search(r"^cutadapt==", (ROOT / "locks" / "image.txt").read_text(), re.MULTILINE)
    assert PROGRAM[0] == "python"
    assert any(env.startswith("PATH=/opt/labrelay/bin:") for env in last.of("ENV"))


def test_nextflow_lies_where_labrelay_looks_for_it() -> None:
    """Beside the package, as in a checkout; the package lies in the folder of the environment."""
    package = Path(runtime.__file__).parents[2]
    beside = runtime.CHECKOUT.relative_to(package.parent)
    targets = [rest.split()[-1] for rest in stages(TEXT, {})[-1].of("COPY")]
    assert f"/opt/labrelay/lib/python3.11/site-packages/{beside}" in targets
    fetched = stages(TEXT, {})[3].of("RUN")[-1]
    wanted = ["dependency:copy-dependencies -DincludeScope=runtime", "sha256sum --quiet -c", "touch .ready"]
    assert [part for part in wanted if part not in fetched] == []


def test_the_images_packages_are_those_that_the_tests_run() -> None:
    def locked(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[^\s;]+", (ROOT / "locks" / name).read_text(), re.MULTILINE))

    def names(lock: set[str]) -> set[str]:
        return {line.partition("==")[0] for line in lock}

    ours, image = locked("dev.txt"), locked("image.txt")
    both = names(ours) & names(image)
    assert {line for line in image if line.partition("==")[0] in both} <= ours
    assert {"prefect", "boto3", "awscrt", "pydantic"} <= both


def test_what_is_copied_suffices_to_build_our_wheel(tmp_path: Path) -> None:
    """As the recipe does it: with the packages of the image's lock, and without an index."""
    if not PYTHON.exists():
        pytest.skip("the image's environment is not installed: make .venv-image")
    source = tmp_path / "src"
    for rest in stages(TEXT, {})[1].of("COPY"):
        *sources, target = rest.split()
        for name in sources:
            copied = tmp_path / target.strip("/") / ("" if (ROOT / name).is_dir() else Path(name).name)
            copied.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copied)
    command = next(rest for word, rest in instructions(TEXT) if word == "RUN" and "--no-index" in rest).split()
    command = [str(PYTHON), "-m", *("wheel" if word == "install" else word for word in command)]
    command = [word.replace("/src", str(source)) for word in command if word != "--no-cache-dir"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("labrelay-*.whl"))) == 1
