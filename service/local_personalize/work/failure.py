"""Why a job failed."""


class JobFailed(Exception):
    """Its message is the resource's failureReason."""
