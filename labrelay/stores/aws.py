"""The way to AWS: one place that makes boto3 clients, so that retries, endpoints and pacing are the same everywhere.

aws = Aws(region="eu-central-1")
with aws_errors("list the runs", EngineFailed):
    aws.client("omics").list_runs()
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from labrelay.model.errors import UsageError
from labrelay.model.names import printable
from labrelay.stores.aws_errors import aws_errors, mark_service, translate
from labrelay.stores.pacing import RATES, Pacing

__all__ = ["Aws", "aws_errors", "translate"]

ENDPOINT = re.compile(r"https?://[^/\s]+", re.IGNORECASE)
ATTEMPTS = 8
CONNECT_SECONDS, READ_SECONDS = 10, 120
CONNECTIONS = 32


@dataclass(frozen=True)
class Aws:
    """Region, account and endpoints, and the clients for them; any thread may use it.

    Attributes:
        region: None means what the profile or AWS_REGION says.
        endpoint_url: Where all services answer instead of AWS's own hosts (the emulator).
        profile: Of `~/.aws/config`; None means the environment's.
        endpoints: By service name, where that one answers; before `endpoint_url`.
        rates: Calls a second by operation name, over `pacing.RATES`.
        attempts: Of one call, with waits between them, before it is given up.
    """

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    attempts: int = ATTEMPTS
    _clients: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service (`s3`, `omics`, `sqs` …), made at the first asking.

        Raises:
            UsageError: There is no such profile, no region is known, or the endpoint is no URL.
        """
        # boto3's sessions are not for two threads at once; its clients are.
        with self._lock:
            if service not in self._clients:
                with aws_errors(f"reach {service}"):
                    self._clients[service] = self._make(service)
            return self._clients[service]

    def endpoint(self, service: str) -> str | None:
        """Return where a service answers when that is not AWS's own host: by argument, else by environment."""
        named = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
        given = self.endpoints.get(service) or self.endpoint_url
        return given or os.environ.get(named) or os.environ.get("AWS_ENDPOINT_URL") or None

    def _make(self, service: str) -> Any:
        session = boto3.Session(profile_name=self.profile, region_name=self.region)
        endpoint = self.endpoint(service)
        if endpoint is not None and not ENDPOINT.match(endpoint):
            raise UsageError(
                f"The endpoint {printable(endpoint, 200)} is no URL; write http://HOST:PORT or https://HOST into "
                "aws_endpoint_url, or AWS_ENDPOINT_URL."
            )
        made = session.client(service, endpoint_url=endpoint, config=self._config(service, endpoint))
        pacing = Pacing({**RATES, **self.rates})
        made.meta.events.register("before-call", pacing.before_call)
        made.meta.events.register("after-call", mark_service)
        return made

    def _config(self, service: str, endpoint: str | None) -> Config:
        options: dict[str, Any] = {
            "retries": {"mode": "adaptive", "total_max_attempts": self.attempts},
            "user_agent_extra": f"labrelay/{importlib.metadata.version('labrelay')}",
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "max_pool_connections": CONNECTIONS,
        }
        if endpoint is not None and service == "omics":
            # Else boto3 asks `workflows-127.0.0.1`, which nobody answers.
            options["inject_host_prefix"] = False
        if endpoint is not None and service == "s3":
            options["s3"] = {"addressing_style": "path"}
        return Config(**options)
