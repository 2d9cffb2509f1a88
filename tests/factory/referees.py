"""Programs of AWS that judge the emulator from outside: its CLI and aws-healthomics-tools, in their own environment."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

BIN = Path(__file__).parents[2] / ".venv-referees" / "bin"
SERVICE = "AmazonOmics"


@dataclass(frozen=True)
class Referee:
    """One program with the variables that lead it to an emulator, and with nothing else of AWS."""

    program: Path
    environment: Mapping[str, str]

    def ask(self, *words: str, code: int = 0) -> str:
        """Run the program and return what it printed; its standard error when it is to end with another code."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        none = str(BIN / "there is no such file")
        nothing = {"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PAGER": ""}
        done = subprocess.run(
            [str(self.program), *words],
            env={**outside, **nothing, "NO_PROXY": "*", **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def json(self, *words: str) -> Any:
        """Return what the program printed as JSON."""
        return json.loads(self.ask(*words))


def referee(name: str, environment: Mapping[str, str]) -> Referee:
    """Return a program of the referees; the test is skipped, in CI failed, when they are not installed.

    Args:
        name: `aws` or `aws-healthomics-tools`.
        environment: The emulator's, as it prints it.
    """
    if not (BIN / name).exists():
        reason = f"{name} is not installed: make .venv-referees"
        if os.environ.get("LABRELAY_NO_SKIPS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return Referee(BIN / name, environment)


@dataclass
class PriceList:
    """AWS's Price List API as far as run_analyzer asks it; each answer is held against the service model.

    Attributes:
        prices: USD by what the API calls a resource type (`omics.c.large`, `Run Storage` …).
        endpoint: Where it answers.
        asked: The resource type and Region of each question for a price.
    """

    prices: Mapping[str, float]
    endpoint: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one call, valid by the service model."""
        assert request["ServiceCode"] == SERVICE
        found = {"DescribeServices": self._services, "GetProducts": self._products}[operation](request)
        model = botocore.session.get_session().get_service_model("pricing").operation_model(operation)
        report = ParamValidator().validate(found, model.output_shape)
        assert not report.has_errors(), report.generate_report()
        return found

    def _services(self, request: Mapping[str, Any]) -> dict[str, Any]:
        names = ["resourceType", "regionCode"]
        return {"Services": [{"ServiceCode": SERVICE, "AttributeNames": names}], "FormatVersion": "aws_v1"}

    def _products(self, request: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {each["Field"]: each["Value"] for each in request["Filters"]}
        self.asked.append((wanted["resourceType"], wanted["regionCode"]))
        price = self.prices.get(wanted["resourceType"])
        return {"FormatVersion": "aws_v1", "PriceList": [] if price is None else [json.dumps(_product(wanted, price))]}


def _product(attributes: Mapping[str, str], usd: float) -> dict[str, Any]:
    dimension = {"rateCode": "X.Y.Z", "unit": "Hours", "pricePerUnit": {"USD": f"{usd:.10f}"}}
    term = {"sku": "X", "priceDimensions": {"X.Y.Z": dimension}}
    return {
        "serviceCode": SERVICE,
        "product": {"sku": "X", "attributes": dict(attributes)},
        "terms": {"OnDemand": {"X.Y": term}},
    }


@contextmanager
def price_list(prices: Mapping[str, float]) -> Iterator[PriceList]:
    """Serve a price list for the block."""
    served = PriceList(prices)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            operation = str(self.headers["X-Amz-Target"]).rpartition(".")[2]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            content = json.dumps(served.answer(operation, json.loads(body))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
