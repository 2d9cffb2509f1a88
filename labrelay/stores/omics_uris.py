"""Where the bytes behind an `omics://` URI lie in S3: read sets and references have an access point of their store."""

from __future__ import annotations

import re

from labrelay.model.errors import NotFound
from labrelay.stores.aws import Aws, aws_errors

URI = re.compile(
    r"omics://\d{12}\.storage\.[a-z0-9-]+\.amazonaws\.com/(?P<store>\d{10,36})/(?P<kind>readSet|reference)"
    r"/(?P<id>\d{10,36})/(?P<part>source1|source2|source|index)\Z"
)


def s3_uri_of(aws: Aws, uri: str) -> str:
    """Return the `s3://` URI of what an `omics://` URI names; an `s3://` URI is returned as it is. Cost: one call.

    Raises:
        NotFound: It is no such URI, or nothing is there that can be read by S3.
    """
    if uri.startswith("s3://"):
        return uri
    named = URI.match(uri)
    if named is None:
        raise NotFound(f"{uri} is no s3:// object and no read set or reference of HealthOmics")
    client = aws.client("omics")
    with aws_errors(f"look up {uri}"):
        if named["kind"] == "readSet":
            told = client.get_read_set_metadata(sequenceStoreId=named["store"], id=named["id"])
        else:
            told = client.get_reference_metadata(referenceStoreId=named["store"], id=named["id"])
    found = told.get("files", {}).get(named["part"], {}).get("s3Access", {}).get("s3Uri")
    if not found:
        raise NotFound(f"{uri} cannot be read by S3: its store gives no access point for it")
    return str(found)
