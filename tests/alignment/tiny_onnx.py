"""The smallest ONNX file that OpenCV takes for a face embedder: the mean colours of a 4 x 4 grid. No `onnx` needed.

Written field by field after https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from pathlib import Path

FLOAT, INTS = 1, 7


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(data)) + data


def ints_attribute(name: str, *values: int) -> bytes:
    return block(5, block(1, name) + b"".join(number(8, value) for value in values) + number(20, INTS))


def node(operator: str, source: str, result: str, attributes: bytes = b"") -> bytes:
    return block(1, block(1, source) + block(2, result) + block(3, operator.lower()) + block(4, operator) + attributes)


def value_info(field: int, name: str, *shape: int) -> bytes:
    dimensions = block(2, b"".join(block(1, number(1, size)) for size in shape))
    return block(field, block(1, name) + block(2, block(1, number(1, FLOAT) + dimensions)))


def write_embedder(path: Path) -> Path:
    """An `SFace` that gives 48 numbers: the mean colours of a 4 x 4 grid over the aligned face."""
    pool = ints_attribute("kernel_shape", 28, 28) + ints_attribute("strides", 28, 28)
    graph = node("AveragePool", "data", "pooled", pool) + node("Flatten", "pooled", "fc1") + block(2, "tiny")
    graph += value_info(11, "data", 1, 3, 112, 112) + value_info(12, "fc1", 1, 48)
    path.write_bytes(number(1, 8) + block(7, graph) + block(8, block(1, "") + number(2, 13)))
    return path
