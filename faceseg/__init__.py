"""Face parsing and masks: which pixels belong to which part of a face."""

from .bisenet import BiSeNet, BiSeNetOutput
from .errors import FaceSegError, ParserUnavailableError, ParserWeightsError, UnknownPartGroupError
from .head_mask import box_mask, landmark_head_mask
from .parser import BiSeNetParser, BuiltInParser, FaceParser, load_face_parser
from .part_net import PartNet
from .parts import PART_GROUPS, FacePart, part_group

__all__ = [
    "PART_GROUPS",
    "BiSeNet",
    "BiSeNetOutput",
    "BiSeNetParser",
    "BuiltInParser",
    "FaceParser",
    "FacePart",
    "FaceSegError",
    "ParserUnavailableError",
    "ParserWeightsError",
    "PartNet",
    "UnknownPartGroupError",
    "box_mask",
    "landmark_head_mask",
    "load_face_parser",
    "part_group",
]
