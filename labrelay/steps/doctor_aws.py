"""What a home uses on AWS, looked at piece by piece: is it there, does it fit, and which permission is missing.

Only reading calls are made, one or two a piece; a piece that fails hides none of the others. What cannot be tried
without doing it is said: nobody can ask whether `iam:PassRole` is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from labrelay.model.errors import Denied, LabrelayError, NotFound
from labrelay.model.names import printable
from labrelay.steps.cloud import aws_of
from labrelay.steps.doctor import Finding, Health
from labrelay.steps.doctor_batch import examine_batch
from labrelay.steps.settings import FILE, Settings
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.s3_lock import default_retention

INIT = "labrelay init --profile healthomics --bucket BUCKET --role-arn ARN"
POLICIES = "labrelay aws policies worker"
PRINCIPAL = "omics.amazonaws.com"
ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/([\w+=,.@/-]+)\Z")


def examine_aws(settings: Settings, aws: Aws | None = None) -> list[Finding]:
    """Look at everything on AWS that the settings name.

    Args:
        settings: A home's.
        aws: The way there, if not the one of the settings.

    Returns:
        A finding a piece; without credentials only that is told, since nothing else could be seen.
    """
    way = aws or aws_of(settings)
    findings = [_profile(settings), _endpoint(way)]
    try:
        findings.append(_identity(way))
    except LabrelayError as error:
        return [*findings, _wrong("identity", str(error), "docs/aws.md says what credentials are needed")]
    for what, check in _checks(settings):
        findings += _tried(what, check(settings, way))
    return findings


def _checks(settings: Settings) -> Iterator[tuple[str, Callable[[Settings, Aws], Iterator[Finding]]]]:
    """Yield what has to be looked at: a home whose files lie in folders uses of AWS what its other engines need."""
    here = settings.profile != "healthomics"
    yield "bucket", _buckets
    if not here:
        yield "sequences", _sequence_store
        yield "references", _reference_store
    if not here or settings.service_role_arn is not None:
        yield "run group", _run_group
        yield "run cache", _run_cache
        yield "runs", _runs
        yield "role", _role
    yield "batch", examine_batch
    yield "events", _queue


def _tried(what: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """Yield what a check finds; when a call of it fails, that is its last finding."""
    try:
        yield from found
    except LabrelayError as error:
        yield _broken(what, error)


def _profile(settings: Settings) -> Finding:
    if settings.profile == "healthomics":
        return _ok("profile", "healthomics: S3 and AWS HealthOmics are used")
    said = f"{settings.profile}: files lie in folders; AWS is used for runs that go there"
    return _note("profile", said, f"to have the files on AWS as well: {INIT}")


def _endpoint(aws: Aws) -> Finding:
    where = aws.endpoint("omics")
    if where is None:
        return _ok("endpoint", "AWS itself")
    return _note("endpoint", f"{where}: this is not AWS itself", "right for the emulator")


def _identity(aws: Aws) -> Finding:
    with aws_errors("ask AWS who we are"):
        sts = aws.client("sts")
        told = sts.get_caller_identity()
    region = sts.meta.region_name
    return _ok("identity", f"{told['Arn']} of account {told['Account']}, region {region}")


def _buckets(settings: Settings, aws: Aws) -> Iterator[Finding]:
    named: dict[str, list[str]] = {}
    for name in ("objects_url", "outputs_url"):
        url = getattr(settings, name)
        if url is None and settings.profile != "healthomics":
            continue
        if url is None:
            yield _unset("bucket", name)
        elif not url.startswith("s3://"):
            yield _wrong("bucket", f"{name} = {url} is no s3:// address", f"mend it in {FILE}")
        else:
            named.setdefault(url.removeprefix("s3://").partition("/")[0], []).append(name)
    for bucket, uses in named.items():
        yield from _tried("bucket", _bucket(aws, bucket))
        if "objects_url" in uses:
            yield from _tried("versions", _versions(aws, bucket))
            yield from _tried("lock", _lock(aws, bucket))


def _bucket(aws: Aws, bucket: str) -> Iterator[Finding]:
    s3 = aws.client("s3")
    with aws_errors(f"reach the bucket {bucket}"):
        answer = s3.head_bucket(Bucket=bucket)
    region, ours = answer.get("BucketRegion"), s3.meta.region_name
    if region and region != ours:
        said = f"{bucket} is in {region}, HealthOmics is asked in {ours}: it reads buckets of its own region only"
        yield _wrong("bucket", said, f"set aws_region in {FILE}, or use a bucket in {ours}")
    else:
        yield _ok("bucket", f"{bucket} is there and may be listed")


def _versions(aws: Aws, bucket: str) -> Iterator[Finding]:
    with aws_errors(f"ask whether {bucket} keeps versions"):
        status = aws.client("s3").get_bucket_versioning(Bucket=bucket).get("Status")
    if status == "Enabled":
        yield _ok("versions", f"{bucket} keeps versions")
    else:
        fix = f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"
        yield _note("versions", f"{bucket} keeps no versions: a file that is overwritten from outside is lost", fix)


def _lock(aws: Aws, bucket: str) -> Iterator[Finding]:
    kept = default_retention(aws, bucket)
    if kept is not None:
        yield _ok("lock", f"{bucket} locks new objects: {kept}")
    else:
        said = f"{bucket} locks nothing: who may delete can delete instrument data and the audit trail's anchors"
        yield _note("lock", said, "docs/audit.md says how a bucket is made that locks")


def _sequence_store(settings: Settings, aws: Aws) -> Iterator[Finding]:
    yield from _store("sequences", "sequence_store_id", "sequence store", settings, aws)


def _reference_store(settings: Settings, aws: Aws) -> Iterator[Finding]:
    yield from _store("references", "reference_store_id", "reference store", settings, aws)


def _store(what: str, setting: str, words: str, settings: Settings, aws: Aws) -> Iterator[Finding]:
    key = getattr(settings, setting)
    if key is None:
        yield _unset(what, setting)
        return
    omics = aws.client("omics")
    try:
        with aws_errors(f"look at the {words} {key}"):
            told = omics.get_sequence_store(id=key) if what == "sequences" else omics.get_reference_store(id=key)
    except NotFound:
        yield _wrong(what, f"there is no {words} {key} in this region and account (any more)", f"make it anew: {INIT}")
        return
    status = told.get("status", "ACTIVE")  # reference stores have none
    said = f"{words} {key} ({told.get('name', 'without a name')}) is {status}"
    yield _ok(what, said) if status == "ACTIVE" else _wrong(what, said, "wait, or name another one")


def _run_group(settings: Settings, aws: Aws) -> Iterator[Finding]:
    if settings.run_group_id is None:
        yield _note("run group", "none: only the account's quotas limit runs", INIT)
        return
    with aws_errors(f"look at the run group {settings.run_group_id}"):
        told = aws.client("omics").get_run_group(id=settings.run_group_id)
    limits = ", ".join(
        f"{name} {told[name]}" for name in ("maxRuns", "maxCpus", "maxGpus", "maxDuration") if told.get(name)
    )
    yield _ok("run group", f"{settings.run_group_id} ({told.get('name')}): {limits or 'no limits but the quotas'}")


def _run_cache(settings: Settings, aws: Aws) -> Iterator[Finding]:
    if settings.run_cache_id is None:
        yield _note("run cache", "none: finished tasks of a failed run are computed again", INIT)
        return
    with aws_errors(f"look at the run cache {settings.run_cache_id}"):
        told = aws.client("omics").get_run_cache(id=settings.run_cache_id)
    said = f"{settings.run_cache_id} ({told.get('name')}) is {told.get('status')}, files in {told.get('cacheS3Uri')}"
    if told.get("status") == "ACTIVE":
        yield _ok("run cache", said)
    else:
        yield _wrong("run cache", said, f"name another one as run_cache_id in {FILE}")


def _runs(settings: Settings, aws: Aws) -> Iterator[Finding]:
    del settings
    with aws_errors("list runs"):
        aws.client("omics").list_runs(maxResults=1)
    yield _ok("runs", "runs may be listed")


def _role(settings: Settings, aws: Aws) -> Iterator[Finding]:
    arn = settings.service_role_arn
    if arn is None:
        yield _unset("role", "service_role_arn")
        return
    found = ROLE.match(arn)
    if found is None:
        yield _wrong("role", f"{arn} is not the ARN of a role", "it looks like arn:aws:iam::111122223333:role/NAME")
        return
    yield _note(
        "pass role",
        f"whether we may hand {arn} to HealthOmics shows only when a run or an import is started",
        f"the permission is iam:PassRole: {POLICIES}",
    )
    try:
        with aws_errors(f"look at the role {arn}"):
            role = aws.client("iam").get_role(RoleName=found[1].rpartition("/")[2])["Role"]
    except NotFound:
        if aws.endpoint("iam") is None:
            yield _wrong("role", f"there is no role {arn}", "make it: labrelay aws policies service")
        else:
            yield _note("role", f"there is no role {arn} here", "the emulator asks for none; AWS does")
    except Denied as error:
        yield _note("role", f"cannot be looked at: {error}", "not needed for work; docs/aws.md says how to check it")
    else:
        yield _trust(arn, role)


def _trust(arn: str, role: dict[str, Any]) -> Finding:
    document = role.get("AssumeRolePolicyDocument", {})
    if role["Arn"] != arn:
        return _wrong("role", f"there is {role['Arn']}, the settings say {arn}", f"mend service_role_arn in {FILE}")
    if PRINCIPAL not in str(document):
        fix = "labrelay aws policies service --document trust"
        return _wrong("role", f"{arn} does not let {PRINCIPAL} take it", fix)
    return _ok("role", f"{arn} is there and lets HealthOmics take it")


def _queue(settings: Settings, aws: Aws) -> Iterator[Finding]:
    url = settings.event_queue_url
    if url is None:
        said = "no queue: ends of runs are found by `labrelay sweep` and by commands that wait, not at once"
        yield _note("events", said, "docs/aws.md says how to set one up")
        return
    asked = ["ApproximateNumberOfMessages", "RedrivePolicy"]
    with aws_errors(f"look at the queue {url}"):
        told = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=asked).get("Attributes", {})
    waiting = told.get("ApproximateNumberOfMessages", "?")
    yield _ok("events", f"{url} answers, about {waiting} messages wait")
    if "RedrivePolicy" not in told:
        yield _note("events", "the queue has no dead-letter queue", "a message that cannot be read would come for ever")


def _unset(what: str, setting: str) -> Finding:
    return _wrong(what, f"{setting} is not set", INIT)


def _broken(what: str, error: LabrelayError) -> Finding:
    return _wrong(what, str(error), POLICIES if isinstance(error, Denied) else None)


def _wrong(what: str, said: str, fix: str | None) -> Finding:
    return Finding(what=what, health=Health.BROKEN, text=printable(said, 600), fix=fix)


def _note(what: str, said: str, fix: str) -> Finding:
    return Finding(what=what, health=Health.NOTE, text=printable(said, 600), fix=fix)


def _ok(what: str, said: str) -> Finding:
    return Finding(what=what, health=Health.OK, text=printable(said, 600))
