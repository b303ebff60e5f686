"""What can go wrong in faceseg/: one root, one line each."""


class FaceSegError(Exception):
    """Root of every error raised by faceseg/."""


class ParserUnavailableError(FaceSegError):
    """The face parser's weights are not there; the message says how to get them."""


class ParserWeightsError(ParserUnavailableError):
    """The weights file is there but damaged, or of another network."""


class UnknownPartGroupError(FaceSegError):
    """No group of face parts has that name."""
