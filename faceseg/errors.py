"""What can go wrong in faceseg/: one root, one line each."""


class FaceSegError(Exception):
    """Root of every error raised by faceseg/."""


class ParserUnavailableError(FaceSegError):
    """The face parser's weights are not there; the message says how to get them."""
