"""Running the bundled viral workflow, and its twin, on a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labrelay.model.runs import RunReport, RunRequest, attempt_token, run_id_of, run_key
from labrelay.model.states import RunState
from labrelay.workflows.inputs import ReferenceInputs, SampleInputs, compose_inputs
from labrelay.workflows.registry import Registry
from tests.workflows.conftest import Lab

DEMO = Path(__file__).parents[2] / "demo"
BASECALLS = DEMO / "run" / "231108_M04586_0992_000000000-L7342" / "Data" / "Intensities" / "BaseCalls"


def viral_request(lab: Lab, sample: SampleInputs, workflow: str = "viral_variants", **changed: Any) -> RunRequest:
    """Return a request for a bundled workflow on the demo's genome; `changed` are inputs in place of the composed."""
    definition = Registry(lab.home).get(workflow)
    fasta = lab.home / "reference.fasta"
    fasta.write_bytes((DEMO / "MH356245.1.reference.fasta").read_bytes().replace(b"\r\n", b"\n"))
    inputs = compose_inputs(definition, [sample], ReferenceInputs(fasta=str(fasta), fai=f"{fasta}.fai"), {})
    return requested(lab, workflow, inputs | {definition.qualified(name): value for name, value in changed.items()})


def requested(lab: Lab, workflow: str, inputs: dict[str, Any]) -> RunRequest:
    """Return a request for a bundled workflow on complete inputs."""
    registry = Registry(lab.home)
    version, archive = registry.bundle(registry.get(workflow))
    key = run_key("local", version.digest, inputs, ())
    return RunRequest(
        token=attempt_token(key, 1),
        key=key,
        run_id=run_id_of(key),
        workflow=version,
        bundle=str(archive),
        inputs=inputs,
    )


def run_viral(lab: Lab, sample: SampleInputs, workflow: str = "viral_variants") -> RunReport:
    """Run it to its good end and return the report."""
    token = lab.engine.submit(viral_request(lab, sample, workflow))
    status = lab.wait(token, 120)
    assert status.state is RunState.COMPLETE, (status, lab.log(token))
    return lab.engine.report(token)


def output(report: RunReport, name: str) -> Path:
    """Return the path of an output's first file."""
    return next(Path(file.path) for file in report.files if file.output == name)
