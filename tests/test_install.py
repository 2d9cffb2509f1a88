"""Labrelay works from its wheel, without rights, and without a network; the demo's reads give the published changes."""

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_run import TinyLab

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "demo"
RUN = DEMO / "run" / "231108_M04586_0992_000000000-L7342"
UV = Path(sys.executable).parent / "uv"
UNAGREED = {"SRR7517490": {4887, 4963, 4979, 5008}, "SRR7517498": set()}
AGREED = {"SRR7517490": 269, "SRR7517498": 273}
pytestmark = pytest.mark.slow


def run(command: Sequence[str | Path], cwd: Path, **env: str) -> str:
    """Run a command away from the checkout and return what it printed; its own words are in the failure."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LABRELAY_", "PYTHON", "COV", "PREFECT"))}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env={**clean, **env})
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `labrelay` command of an environment that holds the wheel and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], ROOT)
    wheel = next(folder.glob("*.whl"))
    run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], folder)
    python = folder / "env" / "bin" / "python"
    lock = ["--constraint", ROOT / "locks" / "dev.txt"]
    run([UV, "pip", "install", "--quiet", "--python", python, *lock, f"labrelay[tools] @ {wheel.as_uri()}"], folder)
    return folder / "env" / "bin" / "labrelay"


def test_the_wheel_runs_the_demos_steps_and_finds_every_agreed_change(installed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"

    def labrelay(*words: str | Path) -> str:
        return run([installed, "--home", home, *words], tmp_path)

    labrelay("init")
    shutil.copy(DEMO / "rules.toml", home / "rules.toml")
    labrelay("reference", "add", DEMO / "MH356245.1.reference.fasta", "--name", "MH356245.1")
    labrelay("announce", DEMO / "samples.csv")
    labrelay("process", RUN)
    rows = {row["sample"]: row for row in json.loads(labrelay("results", "list", "--json"))}
    assert {name: row["variants"] for name, row in rows.items()} == AGREED
    for sample, unagreed in UNAGREED.items():
        called = changes(home / "results/measles-2018" / sample / "viral_variants-1.0.0/variants.tsv", "position")
        agreed = changes(DEMO / "truth" / f"{sample}.snv.tsv", "pos")
        assert len(agreed) == AGREED[sample]
        assert agreed <= called
        assert {position for position, *_ in called - agreed} <= unagreed
    assert "stored 0 · imported 0 · submitted 0" in labrelay("process", RUN)


def changes(table: Path, position: str) -> set[tuple[int, str, str]]:
    with table.open() as lines:
        return {(int(r[position]), r["ref"], r["alt"]) for r in csv.DictReader(lines, delimiter="\t")}


SCRIPT = """
import sys
from pathlib import Path
from labrelay.steps.announce import announce
from labrelay.steps.home import open_home
from labrelay.steps.process import process
home = open_home(Path(sys.argv[1]))
announce(home, Path(sys.argv[3]))
done = process(home, Path(sys.argv[2]))
assert not done.failed, done.failed
print(done.stored, done.imported, done.submitted, home.engine.sandbox)
"""


def interpreter_for(prefix: list[str], folder: Path) -> tuple[Path, dict[str, str]]:
    """Return a Python of this version that the user behind `prefix` may start, and what it needs to find our packages.

    An interpreter below root's own home folder is closed to everybody else; the system's then reads our packages.
    """
    probe = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import pydantic_core'], check=True)"
    ours = [str(ROOT), sysconfig.get_path("purelib")]
    for python, env in ((sys.executable, {}), ("/usr/bin/python3", {"PYTHONPATH": os.pathsep.join(ours)})):
        command = [*prefix, python, "-c", probe]
        done = subprocess.run(command, cwd=folder, env={**os.environ, **env}, capture_output=True, check=False)
        if done.returncode == 0:
            return Path(python), env
    pytest.skip("no Python of this version can be started by a user without rights")


def test_it_works_for_a_user_without_rights(tmp_path_factory: pytest.TempPathFactory) -> None:
    # a folder of its own, because the test session's belongs to root alone
    folder = Path("/var/tmp") / f"labrelay-unprivileged-{os.getpid()}"
    prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.getuid() == 0 else []
    folder.mkdir()
    try:
        lab = TinyLab(folder / "lab", settings="")
        for path in [folder, *folder.rglob("*")]:
            if os.getuid() == 0:
                os.chown(path, 65534, 65534)
        python, env = interpreter_for(prefix, folder)
        printed = run([*prefix, python, "-c", SCRIPT, lab.home, lab.run, lab.table], folder, HOME=str(folder), **env)
        assert printed.split()[1:3] == ["2", "2"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_it_works_with_the_network_cut(tmp_path: Path) -> None:
    cut = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*cut, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody make a network namespace")
    lab = TinyLab(tmp_path / "lab", settings="")
    printed = run([*cut, sys.executable, "-c", SCRIPT, lab.home, lab.run, lab.table], tmp_path)
    assert printed.split()[1:3] == ["2", "2"]
