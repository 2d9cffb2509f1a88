"""The pools and manifests of `infra/`: Prefect's own workers, botocore's model and Kubernetes' models take them."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import Session
from botocore.validate import ParamValidator

from labrelay.flows.environment import POOL

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
PYTHON, LINTER = (ROOT / name / "bin" / "python" for name in (".venv-image", ".venv-aws-lint"))
KEY = "pnu_0123456789"
SECRETS = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING")
Json = dict[str, Any]
Change = Callable[[Any], object]


def asked(python: Path, program: str, given: Any, **environment: str) -> Any:
    if not python.exists():
        pytest.skip(f"another environment is not installed: make {python.parents[1].name}")
    done = subprocess.run(
        [str(python), str(ROOT / "tests" / "tools" / program)],
        input=json.dumps(given),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def template(kind: str) -> Json:
    content: Json = json.loads((INFRA / kind / "pool.json").read_text())
    return content


def pool(kind: str, content: Json | None = None) -> Json:
    return {"type": kind, "template": content or template(kind)}


def manifests() -> list[Json]:
    return list(yaml.safe_load_all((INFRA / "kubernetes" / "labrelay.yaml").read_text()))


def of_kind(kind: str) -> Json:
    return next(one for one in manifests() if one["kind"] == kind)


def ecs_problems(operation: str, request: Json) -> str:
    shape = Session().get_service_model("ecs").operation_model(operation).input_shape
    return str(ParamValidator().validate(request, shape).generate_report())


def worker_task() -> Json:
    content: Json = json.loads((INFRA / "ecs" / "worker.json").read_text())
    return content


def changed(content: Any, change: Change) -> Any:
    other = copy.deepcopy(content)
    change(other)
    assert other != content
    return other


PLANTED_IN_POOLS: list[tuple[str, Change, str]] = [
    ("ecs", lambda t: t["job_configuration"].update(task_definitions={}), "the worker knows no task_definitions"),
    ("ecs", lambda t: t["variables"]["properties"].pop("cpu"), "the placeholder cpu is no variable"),
    ("ecs", lambda t: t["variables"]["properties"]["cpu"].update(type="string"), "the variable cpu is a string"),
    ("ecs", lambda t: t["job_configuration"].update(task_start_timeout_seconds="soon"), "valid integer"),
    ("kubernetes", lambda t: t["variables"]["properties"].update(x={"type": "string"}), "x is used nowhere"),
    (
        "kubernetes",
        lambda t: t["job_configuration"]["job_manifest"]["spec"]["template"]["spec"].pop("restartPolicy"),
        "missing required attributes",
    ),
]
PLANTED_IN_MANIFESTS: list[tuple[str, Change, str]] = [
    ("Deployment", lambda m: m["spec"].update(replica=2), "Deployment.spec has no field replica"),
    ("Deployment", lambda m: m["spec"].pop("selector"), "`selector`, must not be `None`"),
    ("Deployment", lambda m: m["spec"].update(replicas="1"), "Deployment.spec.replicas is no int"),
    ("Pod", lambda m: m["spec"]["containers"][0].pop("name"), "`name`, must not be `None`"),
    ("Pod", lambda m: m["spec"]["containers"][0].update(args="sleep"), "containers[0].args is no list"),
    ("Role", lambda m: m["rules"][0].pop("verbs"), "`verbs`, must not be `None`"),
]


@pytest.fixture(scope="module")
def answers() -> dict[str, list[Json]]:
    """Ask once about all: the other interpreter takes seconds to start."""
    given = {
        "pools": [pool("ecs"), pool("kubernetes")],
        "manifests": manifests(),
        "planted in pools": [pool(kind, changed(template(kind), change)) for kind, change, _ in PLANTED_IN_POOLS],
        "planted in manifests": [changed(of_kind(kind), change) for kind, change, _ in PLANTED_IN_MANIFESTS],
    }
    said = iter(asked(PYTHON, "pool_jobs.py", [each for group in given.values() for each in group]))
    return {name: [next(said) for _ in group] for name, group in given.items()}


@pytest.fixture(scope="module")
def ecs(answers: dict[str, list[Json]]) -> Json:
    return answers["pools"][0]


@pytest.fixture(scope="module")
def kubernetes(answers: dict[str, list[Json]]) -> Json:
    return answers["pools"][1]


def test_prefects_ecs_worker_makes_a_task_of_it_that_ecs_takes(ecs: Json) -> None:
    assert ecs["problems"] == []
    assert ecs_problems("RegisterTaskDefinition", ecs["definition"]) == ""
    assert ecs_problems("RunTask", ecs["request"]) == ""
    (override,) = ecs["request"]["overrides"]["containerOverrides"]
    (container,) = ecs["definition"]["containerDefinitions"]
    assert override["command"] == ["prefect", "flow-run", "execute"]
    assert override["name"] == container["name"]


def test_prefects_kubernetes_worker_makes_a_job_of_it_that_kubernetes_takes(kubernetes: Json) -> None:
    assert kubernetes["problems"] == []
    assert asked(PYTHON, "pool_jobs.py", [kubernetes["job"]]) == [{"problems": []}]
    (container,) = kubernetes["job"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert "command" not in container, "it would stand before the image's tini"


def test_flows_find_the_home_on_one_machine(ecs: Json, kubernetes: Json) -> None:
    pod = kubernetes["job"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == of_kind("Pod")["spec"]["nodeSelector"] == {"labrelay-home": "here"}
    (claim,) = pod["volumes"]
    assert claim["persistentVolumeClaim"]["claimName"] == of_kind("PersistentVolumeClaim")["metadata"]["name"]
    definition = ecs["definition"]
    assert [rule["expression"] for rule in definition["placementConstraints"]] == ["attribute:labrelay-home == here"]
    assert "efsVolumeConfiguration" not in json.dumps(definition), "SQLite is not safe on a network file system"
    [home] = [e["value"] for e in definition["containerDefinitions"][0]["environment"]]
    assert f"LABRELAY_HOME={home} " in (INFRA / "Dockerfile").read_text()
    assert {"name": "LABRELAY_HOME", "value": home} in pod["containers"][0]["env"]
    mounted = definition["containerDefinitions"][0]["mountPoints"][0]["containerPath"]
    assert mounted == pod["containers"][0]["volumeMounts"][0]["mountPath"] == str(Path(home).parent)


@pytest.mark.parametrize(("number", "told"), [(n, told) for n, (*_planted, told) in enumerate(PLANTED_IN_POOLS)])
def test_a_planted_fault_of_a_pool_is_seen(answers: dict[str, list[Json]], number: int, told: str) -> None:
    said = answers["planted in pools"][number]["problems"]
    assert len(said) == 1, said
    assert told in said[0]


def test_the_workers_and_volumes_manifests_are_sound(answers: dict[str, list[Json]]) -> None:
    assert [said for said in answers["manifests"] if said["problems"]] == []
    names = {(one["kind"], one["metadata"]["name"]) for one in manifests()}
    worker, shell = of_kind("Deployment")["spec"], of_kind("Pod")["spec"]
    accounts = {worker["template"]["spec"]["serviceAccountName"], shell["serviceAccountName"]}
    assert {("ServiceAccount", account) for account in accounts} <= names
    assert (worker["replicas"], worker["strategy"]["type"]) == (1, "Recreate")
    assert worker["selector"]["matchLabels"].items() <= worker["template"]["metadata"]["labels"].items()
    assert worker["template"]["spec"]["containers"][0]["args"][:5] == ["prefect", "worker", "start", "--pool", POOL]
    [subject] = of_kind("RoleBinding")["subjects"]
    assert subject["name"] == worker["template"]["spec"]["serviceAccountName"]


@pytest.mark.parametrize(("number", "told"), [(n, told) for n, (*_planted, told) in enumerate(PLANTED_IN_MANIFESTS)])
def test_a_planted_fault_of_a_manifest_is_seen(answers: dict[str, list[Json]], number: int, told: str) -> None:
    said = answers["planted in manifests"][number]["problems"]
    assert len(said) == 1, said
    assert told in said[0]


def test_the_workers_task_definition_is_one_that_ecs_takes() -> None:
    assert ecs_problems("RegisterTaskDefinition", worker_task()) == ""
    [container] = worker_task()["containerDefinitions"]
    assert container["command"] == ["prefect", "worker", "start", "--pool", POOL, "--type", "ecs"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda t: t["containerDefinitions"][0].update(imag="x"),
            'Unknown parameter in containerDefinitions[0]: "imag"',
        ),
        (lambda t: t["containerDefinitions"][0].update(memory="1024"), "Invalid type for parameter containerDef"),
        (lambda t: t.pop("family"), 'Missing required parameter in input: "family"'),
        (lambda t: t["containerDefinitions"][0]["secrets"][0].pop("valueFrom"), '"valueFrom"'),
    ],
)
def test_a_planted_fault_of_a_task_definition_is_seen(change: Change, told: str) -> None:
    assert told in ecs_problems("RegisterTaskDefinition", changed(worker_task(), change))


def test_secrets_are_named_and_never_written_into_a_job() -> None:
    login = dict.fromkeys(SECRETS, KEY)
    content = template("ecs")
    for name in SECRETS:
        content["variables"]["properties"][f"{name.lower()}_secret_arn"]["default"] = f"arn:of:{name}"
    worker = of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0]
    settings = {e["name"]: e["value"] for e in worker["env"] if "_SECRET_" in e["name"]}
    made = asked(PYTHON, "pool_jobs.py", [pool("ecs", content), pool("kubernetes")], **login, **settings)
    assert KEY not in json.dumps(made)
    secrets = made[0]["definition"]["containerDefinitions"][0]["secrets"]
    assert secrets == [{"name": name, "valueFrom": f"arn:of:{name}"} for name in SECRETS]
    container = made[1]["job"]["spec"]["template"]["spec"]["containers"][0]
    named = {e["name"]: e["valueFrom"] for e in container["env"] if e["name"] in SECRETS}
    there = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in worker["env"] if e["name"] in SECRETS}
    for name in SECRETS:
        assert named[name] == {"secretKeyRef": {k: v for k, v in there[name].items() if k != "optional"}}
    control = asked(PYTHON, "pool_jobs.py", [pool("kubernetes")], **login)
    assert KEY in json.dumps(control), "the worker writes it without these settings, so that the test can see it"


def test_what_the_ecs_worker_may_do_is_what_its_code_asks() -> None:
    policy = json.loads((INFRA / "ecs" / "worker-policy.json").read_text())
    linted = asked(LINTER, "lint_policies.py", {"worker": policy})
    assert linted["findings"]["worker"] == []
    source = next(PYTHON.parents[1].glob("lib/*/site-packages/prefect_aws/workers/ecs_worker.py")).read_text()
    calls = set(re.findall(r"ecs_client\.([a-z_]+)\(", source))
    actions = {
        action
        for s in policy["Statement"]
        for action in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
    }
    wanted = {"ecs:" + "".join(word.title() for word in call.split("_")) for call in calls}
    # tags go with RunTask; roles with the task definition
    assert actions == wanted | {"ecs:TagResource", "iam:PassRole"}


def test_the_roles_and_images_agree_between_the_files() -> None:
    variables = template("ecs")["variables"]["properties"]
    policy = (INFRA / "ecs" / "worker-policy.json").read_text()
    assert variables["task_role_arn"]["default"] in policy
    assert variables["execution_role_arn"]["default"] in policy
    assert worker_task()["executionRoleArn"] == variables["execution_role_arn"]["default"]
    assert worker_task()["containerDefinitions"][0]["image"] == variables["image"]["default"]
    images = set(re.findall(r"image: (\S+)", (INFRA / "kubernetes" / "labrelay.yaml").read_text()))
    assert images == {template("kubernetes")["variables"]["properties"]["image"]["default"]}
