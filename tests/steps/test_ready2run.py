"""What only HealthOmics can run is refused by a home that has another engine, before anything is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labrelay.model.errors import UsageError
from labrelay.steps.direct import submit_direct
from labrelay.steps.home import Home

TOML = 'name = "germline"\nversion = "1"\ntitle = "Germline"\nready2run = "9500764"\n'


def test_a_ready2run_workflow_needs_healthomics(make_home: Callable[..., Home]) -> None:
    home = make_home()
    folder = home.definitions / "germline"
    folder.mkdir(parents=True)
    (folder / "definition.toml").write_text(TOML)
    with pytest.raises(UsageError, match=r"germline cannot run on healthomics: .* set outputs_url, service_role_arn"):
        submit_direct(home, "germline")
