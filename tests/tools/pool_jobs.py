"""What Prefect's own workers make of our work pools; run by the interpreter of `.venv-image`.

    … pool_jobs.py < [{"type": "ecs", "template": {…}}, {"kind": "Pod", …}, …]
    … pool_jobs.py FLOW-RUN-ID

Says of each base job template which job a made-up flow run gets and what is wrong with it, of each Kubernetes manifest
what the API's models say, or, of a flow run of the server that PREFECT_API_URL names, its job. The worker's classes
prepare the jobs as they would for a real pool; only the last call, to AWS or to a cluster, is left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from typing import Any
from uuid import uuid4

from kubernetes_asyncio.client import models
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.utilities.templating import find_placeholders
from prefect.workers.base import BaseWorker
from prefect_aws.workers.ecs_worker import ECSWorker
from prefect_kubernetes.settings import KubernetesSettings
from prefect_kubernetes.worker import KubernetesWorker

WORKERS: dict[str, type[BaseWorker[Any, Any, Any]]] = {"ecs": ECSWorker, "kubernetes": KubernetesWorker}
KINDS = {
    **{"Job": "V1Job", "Deployment": "V1Deployment", "Pod": "V1Pod", "ServiceAccount": "V1ServiceAccount"},
    **{"PersistentVolumeClaim": "V1PersistentVolumeClaim", "Role": "V1Role", "RoleBinding": "V1RoleBinding"},
}
# Prefect's worker demands them in the pod's spec, where Kubernetes knows nothing of them and lets them go.
PREFECTS_OWN = {"V1PodSpec": {"completions", "parallelism"}}
PLAIN: dict[str, type | tuple[type, ...]] = {
    **{"str": str, "int": int, "bool": bool, "float": (int, float), "object": object, "datetime": str},
}


def template_problems(kind: str, template: dict[str, Any]) -> list[str]:
    """Return what is wrong with a base job template, held against the worker's own schema of it."""
    worker, problems = WORKERS[kind], list[str]()
    variables, job = template["variables"]["properties"], template["job_configuration"]
    theirs = worker.get_default_base_job_template()["variables"]["properties"]
    for name, shape in variables.items():
        wanted = {shape.get("type") for shape in [theirs.get(name, shape), *theirs.get(name, shape).get("anyOf", [])]}
        if shape["type"] not in wanted:
            problems.append(f"the variable {name} is a {shape['type']}, the worker's is a {wanted}")
    asked = {found.name for found in find_placeholders(job)}
    problems += [f"the placeholder {name} is no variable" for name in sorted(asked - set(variables))]
    problems += [f"the variable {name} is used nowhere" for name in sorted(set(variables) - asked)]
    known = set(worker.job_configuration.model_fields)
    problems += [f"the worker knows no {name}" for name in sorted(set(job) - known)]
    return problems


async def job_of(kind: str, template: dict[str, Any]) -> dict[str, Any]:
    """Return the job of a flow run that there is not, as the worker would start it."""
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="tidy flow")
    made = await WORKERS[kind].job_configuration.from_template_and_values(template, {}, client=object())
    made.prepare_for_flow_run(run)
    return await started(kind, made, run)


async def job_of_flow_run(flow_run_id: str) -> dict[str, Any]:
    """Return the job of a flow run of a real server, as its pool's worker would start it."""
    async with get_client() as client:
        run = await client.read_flow_run(flow_run_id)
        assert run.work_pool_name
        pool = await client.read_work_pool(run.work_pool_name)
        made = await WORKERS[pool.type].job_configuration.resolve_for_flow_run(
            run, client=client, work_pool=pool, worker_name="worker"
        )
    return await started(pool.type, made, run)


async def started(kind: str, made: Any, run: FlowRun) -> dict[str, Any]:
    """Return what is sent off: a Job for Kubernetes, a task definition and a RunTask request for ECS."""
    if kind == "kubernetes":
        await name_secrets(made)
        return {"job": made.job_manifest}
    worker = ECSWorker.__new__(ECSWorker)  # one that asks no server for its pool
    worker._logger, worker._work_pool_name = logging.getLogger(), "labrelay"
    definition = worker._prepare_task_definition(made, "eu-central-1", run)
    worker._validate_task_definition(definition, made)
    request = worker._prepare_task_run_request(made, definition, "arn:of:it")
    return {"definition": definition, "request": request}


async def name_secrets(made: Any) -> None:
    """Put names of secrets in place of their values, as the worker does right before it creates the job."""
    worker, settings = KubernetesWorker.__new__(KubernetesWorker), KubernetesSettings().worker
    for variable, name, key in (
        ("PREFECT_API_KEY", settings.api_key_secret_name, settings.api_key_secret_key),
        ("PREFECT_API_AUTH_STRING", settings.api_auth_string_secret_name, settings.api_auth_string_secret_key),
    ):
        await worker._replace_env_variable_with_secret(variable, made, name, key)


def manifest_problems(content: Any, kind: str, where: str) -> list[str]:
    """Return unknown, missing and mistyped fields of a manifest, by models made from the API's own description."""
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(content, list):
            return [f"{where} is no list"]
        return [p for n, item in enumerate(content) for p in manifest_problems(item, inner[1], f"{where}[{n}]")]
    if inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(content, dict):
            return [f"{where} is no table"]
        return [p for key, item in content.items() for p in manifest_problems(item, inner[1], f"{where}.{key}")]
    if kind in PLAIN:
        wrong = not isinstance(content, PLAIN[kind]) or (isinstance(content, bool) and kind == "int")
        return [f"{where} is no {kind}"] if wrong else []
    model = getattr(models, kind)
    if not isinstance(content, dict):
        return [f"{where} is no {kind}"]
    names = {spelt: name for name, spelt in model.attribute_map.items()}
    unknown = set(content) - set(names) - PREFECTS_OWN.get(kind, set())
    problems = [f"{where} has no field {name}" for name in sorted(unknown)]
    given = {names[spelt]: value for spelt, value in content.items() if spelt in names}
    try:
        model(**given)
    except ValueError as error:
        problems.append(f"{where}: {error}")
    for name, value in given.items():
        problems += manifest_problems(value, model.openapi_types[name], f"{where}.{model.attribute_map[name]}")
    return problems


def judged(given: dict[str, Any]) -> dict[str, Any]:
    """Return the job of a template and the problems of a template or manifest."""
    if "kind" in given:
        return {"problems": manifest_problems(given, KINDS[given["kind"]], given["kind"])}
    problems = template_problems(given["type"], given["template"])
    try:
        return {"problems": problems, **asyncio.run(job_of(given["type"], given["template"]))}
    except ValueError as error:
        return {"problems": [*problems, str(error)]}


if __name__ == "__main__":
    answer = (
        asyncio.run(job_of_flow_run(sys.argv[1])) if sys.argv[1:] else [judged(each) for each in json.load(sys.stdin)]
    )
    sys.stdout.write(json.dumps(answer, default=str))
