"""Every failure reason has its word on trying again and the sentence that helps."""

from __future__ import annotations

import pytest

from labrelay.model.states import RunState
from labrelay.workflows.healthomics.failures import HINTS, PASSING, judge, sentence

# The User Guide's list of run failure reasons.
CODES = """ASSUME_ROLE_FAILED CANNOT_START_CONTAINER_ERROR CANNOT_START_CONTAINER_SIZE_ERROR ECR_PERMISSION_ERROR
EXPORT_FAILED FILE_SYSTEM_OUT_OF_SPACE IMAGE_VERIFICATION_FAILURE IMPORT_FAILED INACTIVE_OMICS_STORAGE_RESOURCE
INPUT_URI_NOT_FOUND INSTANCE_RESERVATION_FAILED INVALID_ECR_IMAGE_URI INVALID_TASK_RESOURCE_VALUE INVALID_URI_INPUT
MODIFIED_INPUT_RESOURCE OUT_OF_MEMORY_ERROR RUN_TASK_FAILED RUN_TIMED_OUT SERVICE_ERROR TASK_TIMED_OUT
UNSUPPORTED_GPU_INSTANCE_TYPE
UNSUPPORTED_INPUT_SIZE WORKFLOW_RUN_FAILED WORKFLOW_VER_VALIDATION_FAILED ALL_PROFILES_INSTANCE_RESERVATION_FAILED"""


def test_every_reason_of_the_guide_is_known() -> None:
    assert set(CODES.split()) == HINTS.keys() | PASSING.keys()
    assert not HINTS.keys() & PASSING.keys()


@pytest.mark.parametrize("code", ["SERVICE_ERROR", "INSTANCE_RESERVATION_FAILED"])
def test_what_passes_by_itself_may_be_tried_again(code: str) -> None:
    assert judge(code).state is RunState.SYSTEM_ERROR


@pytest.mark.parametrize(
    "code", ["OUT_OF_MEMORY_ERROR", "RUN_TASK_FAILED", "INPUT_URI_NOT_FOUND", "NEW_REASON", "", None]
)
def test_what_comes_back_is_not_tried_again(code: str | None) -> None:
    assert judge(code).state is RunState.EXECUTOR_ERROR


def test_the_sentence_names_the_task_what_to_do_and_the_last_words() -> None:
    told = sentence("OUT_OF_MEMORY_ERROR", "The task\n ran out.", "align", tuple(f"line {n}" for n in range(30)))
    first, *rest = told.split("\n")
    assert first.startswith("the task align failed (OUT_OF_MEMORY_ERROR): a task needs more memory")
    assert first.endswith("HealthOmics says: The task ran out.")
    assert rest == [f"line {n}" for n in range(18, 30)]


def test_what_a_tool_wrote_cannot_rewrite_the_terminal() -> None:
    assert "\x1b" not in sentence("\x1b[2J", "\x1b[2J", "\x1b[2J", ("\x1b[2J",))
