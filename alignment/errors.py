"""What can go wrong in alignment/: one root, one line each."""


class AlignmentError(Exception):
    """Root of every error raised by alignment/."""


class LandmarkSetError(AlignmentError):
    """Landmarks of an unknown number of points, or without the part that was asked for."""


class DetectorUnavailableError(AlignmentError):
    """A face detector's library or weights are not there; the message says how to get them."""


class LandmarkerUnavailableError(AlignmentError):
    """There is no landmark predictor of that name, or its library or weights are not there."""


class EmbedderUnavailableError(AlignmentError):
    """A face embedder's weights are not there; the message says how to get them."""


class WeightsError(AlignmentError):
    """Weights are missing, of another network, or fail their checksum."""
