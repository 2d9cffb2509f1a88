"""One spelling for one value: canonical JSON and digests of it.

Two values that are equal as JSON have the same bytes here, whatever order their keys came in, so that a digest of
them can be an identity (`WorkflowRun.key`, tokens, the audit chain).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring

JSONValue = str | int | float | bool | None | Sequence["JSONValue"] | Mapping[str, "JSONValue"]
# Made once: an id is derived for each of a hundred thousand files.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: JSONValue) -> str:
    """Return `value` as JSON with sorted keys, no white space, and no NaN or infinity.

    Raises:
        ValueError: A number is not finite, which JSON cannot say.
    """
    if type(value) is list and all(type(each) is str for each in value):
        # What most ids are derived from: the encoder takes four times as long to begin.
        return f"[{','.join(map(encode_basestring, value))}]"
    return _ENCODER.encode(value)


def digest(value: JSONValue) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
