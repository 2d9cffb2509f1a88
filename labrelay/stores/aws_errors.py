"""What AWS answers instead of a result, as the sentence that a tired person needs and the right word on trying again.

The rules follow the HTTP status, since the names of errors differ between services: 400, 404, 405 and 416 are ours to
mend; 401 and 403 need somebody who gives permissions; 402, 408, 429 and 5xx pass by themselves; 409 needs a new look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto

from labrelay.model.errors import Busy, Conflict, Denied, LabrelayError, NotFound, StorageFailed, UsageError
from labrelay.model.names import printable

SKEW = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
CREDENTIALS = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidSignatureException", "AuthFailure"),
        "IncompleteSignature",
    }
)
# The SDK's own lists: some of these come with 400 or 403, which by itself says otherwise.
THROTTLED = frozenset(
    {
        *("BandwidthLimitExceeded", "EC2ThrottledException", "LimitExceededException", "PriorRequestNotComplete"),
        *("ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled", "SlowDown"),
        *("RequestThrottledException", "ThrottledException", "Throttling", "ThrottlingException"),
        *("TooManyRequestsException", "TransactionInProgressException"),
    }
)
MISSING = frozenset({"ResourceNotFoundException"})  # CloudWatch Logs says it with 400
TRANSIENT = frozenset({"RequestTimeout", "RequestTimeoutException"})
LOGIN = (boto.SSOError, boto.LoginError, boto.TokenRetrievalError, boto.CredentialRetrievalError)
MISTAKES = (
    *(boto.ProfileNotFound, boto.ParamValidationError, boto.ConfigParseError, boto.ConfigNotFound),
    *(boto.InvalidConfigError, boto.InvalidRegionError, boto.InvalidDefaultsMode, boto.InvalidRetryModeError),
)
DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"})
BY_ANSWER: Mapping[int, tuple[type[LabrelayError], str]] = {
    402: (Busy, "a quota of the account is used up: it works when some of it is free again"),
    404: (NotFound, "check the id or name, and that region and account are right"),
    409: (Conflict, "look at how it stands now, then decide"),
    412: (Conflict, "something else is there already"),
    429: (Busy, "it is asked too often just now: the same command works in some minutes"),
}
BY_STATUS = {"400": 400, "403": 403, "404": 404, "409": 409, "412": 412}
# "User: arn:… is not authorized to perform: omics:StartRun on resource: arn:… because no identity-based policy …"
NOT_AUTHORIZED = re.compile(
    r"(?:User: (\S+) is )?not authorized to perform: (\S+?)(?: on resource: (\S+?))?(?:[\s.]|$)"
)
# Where the operation's name is not the permission's (the service names no permission when it refuses).
S3_PERMISSIONS: Mapping[str, str] = {
    "HeadObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListParts": "s3:ListMultipartUploadParts",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
}


@contextmanager
def aws_errors(doing: str, failed: type[LabrelayError] = StorageFailed) -> Iterator[None]:
    """Turn what boto3 raises in the block into one of our errors.

    Args:
        doing: What was tried, as a verb phrase: `start the import of 12 read sets`.
        failed: What a failure that passes by itself is called; give `EngineFailed` where an engine is asked.

    Raises:
        Denied: A permission or valid credentials are missing.
        Busy: The service asks for patience (throttling, a quota that is used up now).
        NotFound, Conflict, UsageError: What was asked cannot be done as asked.
    """
    try:
        yield
    except (boto.ClientError, boto.BotoCoreError) as error:
        raise translate(error, doing, failed) from error


def translate(error: Exception, doing: str, failed: type[LabrelayError] = StorageFailed) -> LabrelayError:
    """Return our error for one of botocore's; see `aws_errors`."""
    if isinstance(error, boto.ClientError):
        return _of_answer(error, doing, failed)
    return _of_no_answer(error, doing, failed)


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of an answer; 0 when it has none."""
    response: dict[str, Any] = error.response
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(status or BY_STATUS.get(code_of(error), 0))


def code_of(error: boto.ClientError) -> str:
    """Return the code of an answer, such as `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def mark_service(*, parsed: dict[str, Any], model: Any, **_event: object) -> None:
    """Write the service's name into an answer, as a handler of botocore's `after-call`: an error does not say it."""
    parsed.setdefault("ResponseMetadata", {})["Service"] = model.service_model.signing_name


def _of_answer(error: boto.ClientError, doing: str, failed: type[LabrelayError]) -> LabrelayError:
    code, status, said = code_of(error), status_of(error), _said(error)
    cannot = f"AWS could not {doing}"
    if code in SKEW:
        return UsageError(f"{cannot}: this machine's clock is wrong ({said}); set it by NTP, then repeat the command.")
    if code in CREDENTIALS or status == 401:
        return Denied(f"{cannot}: the credentials are invalid or have expired ({said}); log in again, then repeat it.")
    if code in THROTTLED:
        status = 429
    if code in MISSING:
        status = 404
    if status == 403:
        return Denied(f"{cannot}: {_who_lacks_what(error)}; have it added to the policy, then repeat the command.")
    if code in DAMAGED:
        return _passing(failed, f"{cannot}: the bytes were damaged on their way ({said}); repeat the command.")
    if status in BY_ANSWER:
        kind, next_step = BY_ANSWER[status]
        return kind(f"{cannot}: {said}; {next_step}.")
    if 300 <= status < 400:
        return UsageError(f"{cannot}: it lies in another region ({said}); set aws_region to that one.")
    if 400 <= status < 500 and status != 408 and code not in TRANSIENT:
        return UsageError(f"{cannot}: the request was refused ({said}); mend what it names, then repeat it.")
    return _passing(failed, f"{cannot}: the service failed ({said}); the same command may work in some minutes.")


def _of_no_answer(error: Exception, doing: str, failed: type[LabrelayError]) -> LabrelayError:
    if isinstance(error, LOGIN):
        why = f"the login to AWS has expired or is missing ({_line(str(error))})"
        return Denied(f"Could not {doing}: {why}; log in again, then repeat the command.")
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return Denied(f"Could not {doing}: there are no AWS credentials; log in, or set AWS_PROFILE or the access key.")
    if isinstance(error, boto.NoRegionError):
        return UsageError(f"Could not {doing}: no region is known; set AWS_REGION, or aws_region in labrelay.toml.")
    if isinstance(error, MISTAKES):
        return UsageError(f"Could not {doing}: {_line(str(error))}.")
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectionError | boto.HTTPClientError):
        where = error.kwargs.get("endpoint_url") or "the service"
        return _passing(
            failed,
            f"Could not {doing}: {_line(str(where))} does not answer ({type(error).__name__}); check the network and "
            "the endpoint, then repeat the command.",
        )
    return _passing(failed, f"Could not {doing}: {_line(str(error))}; the same command may work in some minutes.")


def _passing(failed: type[LabrelayError], sentence: str) -> LabrelayError:
    made = failed(sentence)
    made.retryable = True
    return made


def _who_lacks_what(error: boto.ClientError) -> str:
    found = NOT_AUTHORIZED.search(_message(error))
    if found is None:
        return f"permission {_permission(error)} is missing ({_said(error)})"
    who, action, resource = found.groups()
    where = f" on {printable(resource)}" if resource else ""
    return f"{printable(who or 'the caller')} lacks permission {printable(action)}{where}"


def _permission(error: boto.ClientError) -> str:
    operation = str(error.operation_name)
    service = str(error.response["ResponseMetadata"].get("Service", "s3" if operation in S3_PERMISSIONS else "omics"))
    return S3_PERMISSIONS.get(operation, f"{service}:{operation}") if service == "s3" else f"{service}:{operation}"


def _said(error: boto.ClientError) -> str:
    code, message = code_of(error), _message(error)
    named = printable(code, 60) if code and not code.isdigit() else f"HTTP {status_of(error)}"
    return f"{named}: {_line(message)}" if message else named


def _message(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message") or error.response.get("message") or "")


def _line(text: str) -> str:
    return printable(" ".join(text.split()), 400).rstrip(".")
