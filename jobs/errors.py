"""What can go wrong in jobs/: one root, one line each."""


class JobsError(Exception):
    """Root of every error raised by jobs/."""


class StoreError(JobsError):
    """The job table cannot be used: damaged, of a newer version, or on a disk that cannot keep it."""


class StoreFullError(StoreError):
    """The disk of the job table is full: nothing was changed; the same call succeeds when there is space again."""


class StoreBusyError(StoreError):
    """Another process has held the job table for longer than anybody should: nothing was changed."""


class StoreDamagedError(StoreError):
    """The file of the job table is no sound SQLite database; the message names where it was moved."""


class StoreVersionError(StoreError):
    """The job table is of another version, and is not upgraded here."""


class LostClaimError(JobsError):
    """A job is no longer this worker's: it was cancelled, or given to another one. Its result must be dropped."""


class JobNotFoundError(JobsError):
    """There is no job with such a number."""


class MoveError(JobsError):
    """A job cannot go from its state to the one that was asked for."""


class WatchConfigError(JobsError):
    """A configuration is wrong; the message names file, line and key."""


class WatchFolderError(JobsError):
    """A watch folder, or the folder for its results, cannot be used."""


class OddSourceError(JobsError):
    """A source is no regular file, or a symbolic link stands in its path: it is never opened."""


class AlreadyWatchedError(JobsError):
    """Another process is watching the same folder, or uses the same job table."""


class Draining(JobsError):  # noqa: N818 (nothing is wrong: the work stops where it can be taken up again)
    """The worker was asked to stop, and has come to a place where nothing is lost."""


class SelftestError(JobsError):
    """The self-test cannot run here, or something was lost in it."""


class OutputTakenError(JobsError):
    """Something has the result's name already, and the job was told to fail then."""


class DashboardError(JobsError):
    """The status page cannot be served as it was asked for."""


class OtherContentError(JobsError):
    """A source is not what it was when it was queued."""
