"""What DescribeComputeEnvironments and DescribeJobQueues have in common: things by their names, or all, in pages."""

from __future__ import annotations

from labrelay.emulator.batch.naming import numbered_page, place, plain_name, refused
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.tags import shown_tags

MOST_DESCRIBED = 100


def described(service: Service, asked: Params, *, state_kind: str, arn_kind: str, member: str) -> Params:
    """Return the things that are named, or all, with their tags; names that nothing has are left out.

    Args:
        state_kind: What they are in the state, such as `QUEUE`.
        arn_kind: What they are in an ARN, such as `job-queue`.
        member: What one is in the API, such as `jobQueue`, whose name is then `jobQueueName`.

    Raises:
        Failure: `ClientException`; too many names, or a page that is none.
    """
    many, own_name, own_arn = f"{member}s", f"{member}Name", f"{member}Arn"
    wanted = {plain_name(service, arn_kind, given) for given in asked.get(many, [])}
    if len(wanted) > MOST_DESCRIBED:
        raise refused(f"{many} has at most {MOST_DESCRIBED} names, not {len(wanted)}.")
    limit = numbered_page(asked.get("maxResults"), MOST_DESCRIBED)
    with service.state.read() as state:
        bodies, after = state.page(
            state_kind,
            limit=limit,
            token=place(asked.get("nextToken")),
            keep=lambda body: not wanted or body[own_name] in wanted,
        )
        found = [body | shown_tags(state, body[own_arn]) for body in bodies]
    return {many: found, "nextToken": after}
