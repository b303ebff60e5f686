"""What can go wrong in trainer/: one root, one line each."""


class TrainerError(Exception):
    """Root of every error raised by trainer/."""


class TrainingDataError(TrainerError):
    """Training pictures or labels are missing or unusable; the message names the folder."""
