"""What can go wrong in pipeline/: one root, one line each."""


class PipelineError(Exception):
    """Root of every error raised by pipeline/."""


class InputError(PipelineError):
    """An input cannot be used; the message names the file and the reason."""


class UnreadableInputError(InputError):
    """Missing, not a regular file, damaged or truncated."""


class SourceChangedError(UnreadableInputError):
    """An input was written to, replaced or removed while it was converted; what was made of it is dropped."""


class UnsupportedInputError(InputError):
    """A sound file that we cannot treat: no picture, a refused container, a colour format we would spoil."""


class QuotaError(InputError):
    """An input is larger than the user allowed."""


class OutputError(PipelineError):
    """The result cannot be put where it should go."""


class OutputExistsError(OutputError):
    """The output is there already and `--overwrite` was not given."""


class FfmpegError(PipelineError):
    """The ffmpeg program is missing or failed; the message ends with its last lines."""


class ChunkError(FfmpegError):
    """Rendered chunks are damaged, too short or do not fit together: they have to be rendered again."""


class VerificationError(PipelineError):
    """The finished video does not match its source and was not published."""


class OutOfSpaceError(PipelineError):
    """The disk that holds the output is full."""


class RendererLostError(PipelineError):
    """The process that rendered a chunk ended again and again in the middle of it."""


class ClusterError(PipelineError):
    """The cluster of `--cluster` is not there, or none of its machines is fit."""


class UnsuitableStyleError(PipelineError):
    """A style cannot do what an option asks of it."""


class RegressionError(PipelineError):
    """A benchmark found figures that became worse than they were."""


class BatchError(PipelineError):
    """Some of several inputs failed; `failures` holds their errors in order."""

    def __init__(self, message: str, failures: list[Exception]) -> None:
        super().__init__(message)
        self.failures = failures
