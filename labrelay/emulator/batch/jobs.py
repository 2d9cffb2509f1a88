"""Jobs as a client sees and stops them: DescribeJobs, CancelJob, TerminateJob."""

from __future__ import annotations

from labrelay.emulator.batch.job_states import detail, stop_job
from labrelay.emulator.batch.naming import JOB, batch_operation, parent_of, refused
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service

MOST_DESCRIBED = 100


@batch_operation("DescribeJobs")
def describe_jobs(service: Service, asked: Params) -> Params:
    """Return jobs in full; ids that nothing has are left out."""
    wanted = asked["jobs"]
    if len(wanted) > MOST_DESCRIBED:
        raise refused(f"jobs has at most {MOST_DESCRIBED} ids, not {len(wanted)}.")
    found = []
    with service.state.read() as state:
        for job in dict.fromkeys(wanted):
            body = state.get(JOB, job, parent_of(job))
            if body is not None:
                found.append(detail(state, body))
    return {"jobs": found}


@batch_operation("CancelJob")
def cancel_job(service: Service, asked: Params) -> Params:
    """End a job that has not started; one that is under way goes on, and one that has ended stays as it is."""
    stop_job(service, asked["jobId"], asked["reason"], running_too=False)
    return {}


@batch_operation("TerminateJob")
def terminate_job(service: Service, asked: Params) -> Params:
    """Stop a job wherever it is; it is FAILED soon."""
    stop_job(service, asked["jobId"], asked["reason"], running_too=True)
    return {}
