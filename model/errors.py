"""What can go wrong in model/: one root, one line each."""


class ModelError(Exception):
    """Root of every error raised by model/."""


class StyleNotFoundError(ModelError):
    """No built-in style of that name and no such file."""


class StyleFormatError(ModelError):
    """A style file or checkpoint is damaged, of an unknown architecture, or would have to be unpickled."""


class DeviceError(ModelError):
    """The device, engine or precision asked for is not there."""


class ExportError(ModelError):
    """The exported network is of an unknown format or does not give what the style gives."""


class QuantisationError(ModelError):
    """A generator cannot be put into 8 bits here, or is too far from float32 in them."""
