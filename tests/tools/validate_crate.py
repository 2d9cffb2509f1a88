"""Validate a crate's folder offline; run by the interpreter of `.venv-crate`.

Usage: validate_crate.py FOLDER PROFILE. Prints one line a problem; exit 0 accepted, 1 refused.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

import requests
import rocrate
import urllib3
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils.http import HttpRequester

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


class Shipped(requests.adapters.HTTPAdapter):
    """Answers with the context in the `rocrate` wheel, so that nothing asks the network."""

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        """Return the context, whatever is asked."""
        body = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()
        if json.loads(body)["@id"] != CONTEXT or request.url != CONTEXT:
            raise SystemExit(f"the installed rocrate does not ship {request.url}: install locks/crate-validator.txt")
        headers = {"Content-Type": "application/ld+json"}
        raw = urllib3.HTTPResponse(body=io.BytesIO(body), headers=headers, status=200, preload_content=False)
        return self.build_response(request, raw)


def seed(cache: Path) -> None:
    """Fill the validator's cache with the one document that it would fetch."""
    session = HttpRequester.initialize_cache(cache_max_age=-1, cache_path=str(cache)).session
    session.mount("https://", Shipped())
    session.get(CONTEXT)


def main() -> int:
    """Validate and report."""
    folder, profile = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        cache = Path(home) / "cache"
        seed(cache)
        settings = ValidationSettings(
            rocrate_uri=folder,
            profile_identifier=profile,
            requirement_severity=Severity.REQUIRED,
            cache_path=cache,
            cache_max_age=-1,
            offline=True,
        )
        result = services.validate(settings)
    for issue in sorted(result.get_issues(), key=lambda i: (str(i.violatingEntity), str(i.message))):
        sys.stdout.write(f"{issue.violatingEntity}: {issue.message}\n")
    sys.stdout.write(f"{profile}: {'refused' if result.has_issues() else 'accepted'}\n")
    return 1 if result.has_issues() else 0


if __name__ == "__main__":
    sys.exit(main())
