"""What can go wrong in trainer/: one root, one line each."""


class TrainerError(Exception):
    """Root of every error raised by trainer/."""


class TrainingDataError(TrainerError):
    """Training pictures or labels are missing or unusable; the message names the folder."""


class TrainConfigError(TrainerError):
    """Options contradict each other, or a config file cannot be read; the message names option or key."""


class SnapshotError(TrainerError):
    """No snapshot of a run can be used: all damaged, or of another architecture."""


class RunFolderError(TrainerError):
    """A run's folder cannot be made, found or written; the message names it."""


class DivergenceError(TrainerError):
    """Too many steps in a row gave losses or gradients that are not finite."""


class OutOfMemoryError(TrainerError):
    """A step did not fit into memory; the message says which settings would."""


class OutOfSpaceError(TrainerError):
    """The disk that holds the run is full; the message says what is still whole."""


class FeatureWeightsError(TrainerError):
    """The weights of a feature network cannot be fetched or used; the message says where they belong."""
