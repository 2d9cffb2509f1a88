"""What our code asks of AWS, read from its source: operations of boto3's clients, and permissions for them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.session import Session

from labrelay.stores.aws_errors import S3_PERMISSIONS

ROOT = Path(__file__).parents[2] / "labrelay"
SERVICES = ("s3", "omics", "batch", "sts", "sqs", "logs", "iam")
# Helpers of boto3 that are no operations of a service.
HELPERS = {
    "upload_file": ("s3", "PutObject"),
    "upload_fileobj": ("s3", "PutObject"),
    "download_file": ("s3", "GetObject"),
}
# Where one operation needs another permission than its name says, or more than one.
PERMISSIONS = {
    "s3:GetObject": {"s3:GetObject", "s3:GetObjectVersion"},
    "s3:HeadObject": {"s3:GetObject", "s3:GetObjectVersion"},
    "s3:ListBuckets": {"s3:ListAllMyBuckets"},
    "sqs:DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sts:GetCallerIdentity": set(),  # AWS asks for no permission
}


@cache
def operations() -> dict[str, set[tuple[str, str]]]:
    """Return (service, operation) by the name that the operation has as a method."""
    found: dict[str, set[tuple[str, str]]] = {name: {value} for name, value in HELPERS.items()}
    session = Session()
    for service in SERVICES:
        for name in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(name), set()).add((service, name))
    return found


def asks_aws(path: Path) -> bool:
    """Whether a module has to do with AWS at all, so that a method of ours is not taken for an operation."""
    return "labrelay.stores.aws" in path.read_text(encoding="utf-8")


def calls(module: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, top-level function or class) of a module: attributes, and texts, which name what is paged."""
    for part in ast.parse(module.read_text(encoding="utf-8")).body:
        own = getattr(part, "name", "")
        for node in ast.walk(part):
            if isinstance(node, ast.Attribute):
                yield node.attr, own
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value, own


def permissions(names: Iterable[str], module: Path | None = None) -> set[str]:
    """Return the permissions that operations need, by their names as methods; other names are left out.

    A name that several services have (`list_tags_for_resource`) is that of the service whose client the module makes,
    and HealthOmics's when it makes none of them.
    """
    made = set(re.findall(r"client\(\"(\w+)\"\)", module.read_text(encoding="utf-8"))) if module else set()
    needed: set[str] = set()
    for name in names:
        found = operations().get(name, set())
        if len(found) > 1:
            found = {each for each in found if each[0] in made} or {each for each in found if each[0] == "omics"}
        for service, operation in found:
            action = f"{service}:{operation}"
            needed |= PERMISSIONS.get(action, {S3_PERMISSIONS.get(operation, action) if service == "s3" else action})
    return needed


def modules() -> list[Path]:
    """Return the modules that ask AWS; the emulator is no client of a lab's account."""
    rooms = ("stores", "workflows", "records", "steps", "flows", "cli")
    found = (path for room in rooms for path in sorted((ROOT / room).rglob("*.py")))
    return [path for path in found if asks_aws(path)]
