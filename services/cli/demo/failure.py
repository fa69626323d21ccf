"""Why a replay ends early, in words for whoever started it."""


class ReplayError(RuntimeError):
    """The replay cannot go on; starting it again resumes at the first day that is not closed."""
