"""What follows a failed attempt: another one, or the end, by the retry strategy as Batch evaluates it. Pure."""

from __future__ import annotations

from labrelay.emulator.batch.naming import refused
from labrelay.emulator.operation import Params

MOST_ATTEMPTS = 10
MOST_CONDITIONS = 5
LEAST_TIMEOUT = 60
CONDITIONS = {"onExitCode": "exit code", "onReason": "reason", "onStatusReason": "status reason"}


def is_retried(strategy: Params | None, attempts: int, code: int | None, reason: str, status_reason: str) -> bool:
    """Tell whether a job gets another attempt after one that failed.

    Args:
        strategy: The job's `retryStrategy`.
        attempts: How many there were, this one among them.
        code: The exit code of the container; None when it has none.
        reason: Of the container.
        status_reason: Of the attempt.

    Of the conditions of `evaluateOnExit` the first decides whose globs all match; where none does, the job is retried.
    """
    if strategy is None or attempts >= strategy.get("attempts", 1):
        return False
    said = {
        "onExitCode": "" if code is None else str(code),
        "onReason": reason,
        "onStatusReason": status_reason,
    }
    for condition in strategy.get("evaluateOnExit", []):
        globs = {name: condition[name] for name in CONDITIONS if condition.get(name) is not None}
        if all(matches(glob, said[name]) for name, glob in globs.items()):
            return bool(condition["action"].upper() == "RETRY")
    return True


def matches(glob: str, text: str) -> bool:
    """Tell whether a text is the glob's, which may end with an asterisk; letters of both cases are the same."""
    glob, text = glob.lower(), text.lower()
    return text.startswith(glob[:-1]) if glob.endswith("*") else text == glob


def check_retries(strategy: Params | None) -> None:
    """Refuse a retry strategy outside of Batch's limits.

    Raises:
        Failure: `ClientException`.
    """
    if strategy is None:
        return
    conditions = strategy.get("evaluateOnExit", [])
    if "attempts" in strategy and not 1 <= strategy["attempts"] <= MOST_ATTEMPTS:
        raise refused(f"retryStrategy.attempts is 1 to {MOST_ATTEMPTS}, not {strategy['attempts']}.")
    if conditions and "attempts" not in strategy:
        raise refused("retryStrategy.attempts is required beside evaluateOnExit.")
    if len(conditions) > MOST_CONDITIONS:
        raise refused(f"retryStrategy.evaluateOnExit has at most {MOST_CONDITIONS} conditions, not {len(conditions)}.")
    for condition in conditions:
        if not any(condition.get(name) for name in CONDITIONS):
            raise refused(f"A condition of evaluateOnExit has one of {', '.join(CONDITIONS)}.")
        code = condition.get("onExitCode")
        if code is not None and not code.removesuffix("*").isdigit() and code != "*":
            raise refused(f"onExitCode is a number, perhaps with an asterisk at its end, not {code}.")


def check_timeout(timeout: Params | None) -> None:
    """Refuse a timeout below the least that Batch takes.

    Raises:
        Failure: `ClientException`.
    """
    seconds = (timeout or {}).get("attemptDurationSeconds")
    if seconds is not None and seconds < LEAST_TIMEOUT:
        raise refused(f"timeout.attemptDurationSeconds is at least {LEAST_TIMEOUT}, not {seconds}.")
