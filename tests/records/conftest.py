from __future__ import annotations

import sys
from pathlib import Path

import pytest

from labrelay.records.database import Database

# The results' factory is a plain module beside the tests; importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

import seed


@pytest.fixture(scope="session")
def thousand_samples(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A store of 1,000 samples with their runs and 20,000 files; tests read it only."""
    db = seed.open_database(tmp_path_factory.mktemp("thousand"))
    seed.seed(db, 1000)
    return db
