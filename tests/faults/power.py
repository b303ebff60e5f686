"""Power cuts, without cutting: strace records what a process writes, and the disk is rebuilt as it was at each sync.

What was written but not synced is lost then, or (the other extreme) only names have reached the disk and no content: a
file's content survives by fsync of the file, a name by fsync of its folder. Real disks lie between the two.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,rmdir"
)
_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)(.*)$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_HANDLE = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2}|[^>])*)>")


@dataclass
class Call:
    """A system call that went well."""

    name: str
    paths: list[str]
    """Paths among its arguments, or of its file."""
    handle: int = -1
    content: bytes = b""
    offset: int | None = None
    flags: str = ""


@dataclass
class Inode:
    """A file's content as it is, and as it survives."""

    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


class Disk:
    """Names and contents below one folder; each now and as they survive a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, Inode | None] = {}  # None: a folder
        self.synced_names: dict[str, Inode | None] = {}
        self.positions: dict[int, int] = {}
        for path in sorted(root.rglob("*")):
            made = None if path.is_dir() else Inode(bytearray(path.read_bytes()), path.read_bytes())
            self.names[str(path)] = self.synced_names[str(path)] = made

    def apply(self, call: Call) -> bool:
        """Do what a call did; return whether it was a sync, so that a cut before the next one is another case."""
        inside = [path for path in call.paths if path.startswith(self.root)]
        if inside:
            getattr(self, f"_{call.name}", lambda call: None)(call)
        return bool(inside) and call.name in ("fsync", "fdatasync")

    def _openat(self, call: Call) -> None:
        path = call.paths[0]
        if "O_CREAT" in call.flags and path not in self.names:
            self.names[path] = Inode()
        inode = self.names.get(path)
        if inode is not None and "O_TRUNC" in call.flags:
            inode.content.clear()
        self.positions[call.handle] = len(inode.content) if inode is not None and "O_APPEND" in call.flags else 0

    def _write(self, call: Call) -> None:
        start = self.positions.get(call.handle, 0)
        self.positions[call.handle] = start + len(call.content)
        self._put(call.paths[0], start, call.content)

    def _pwrite64(self, call: Call) -> None:
        self._put(call.paths[0], call.offset or 0, call.content)

    def _put(self, path: str, start: int, content: bytes) -> None:
        inode = self.names.get(path)
        if inode is not None:
            inode.content.extend(b"\0" * (start - len(inode.content)))
            inode.content[start : start + len(content)] = content

    def _ftruncate(self, call: Call) -> None:
        inode = self.names.get(call.paths[0])
        if inode is not None:
            size = call.offset or 0
            inode.content[:] = inode.content[:size].ljust(size, b"\0")

    def _fsync(self, call: Call) -> None:
        inode = self.names.get(call.paths[0])
        if inode is not None:
            inode.synced = bytes(inode.content)
            return
        folder = call.paths[0]
        for path in {p for p in (*self.names, *self.synced_names) if os.path.dirname(p) == folder}:
            if path in self.names:
                self.synced_names[path] = self.names[path]
            else:
                self.synced_names.pop(path, None)

    _fdatasync = _fsync

    def _link(self, call: Call) -> None:
        self.names[call.paths[1]] = self.names[call.paths[0]]

    _linkat = _link

    def _rename(self, call: Call) -> None:
        old, new = call.paths
        for path in [p for p in self.names if p == old or p.startswith(old + "/")]:
            self.names[new + path.removeprefix(old)] = self.names.pop(path)

    _renameat = _renameat2 = _rename

    def _unlink(self, call: Call) -> None:
        self.names.pop(call.paths[0], None)

    _unlinkat = _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        self.names[call.paths[0]] = None

    def rebuild(self, *, has_names: bool) -> None:
        """Make the folder as it is after a cut: only what was synced; or all names, with the synced content."""
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        names = self.names if has_names else self.synced_names
        first: dict[int, str] = {}
        for path in sorted(names):
            inode = names[path]
            if not os.path.isdir(os.path.dirname(path)):
                continue  # its folder did not survive
            if inode is None:
                os.mkdir(path)
            elif id(inode) in first:
                os.link(first[id(inode)], path)
            else:
                Path(path).write_bytes(inode.synced)
                first[id(inode)] = path


def record(command: Sequence[str], cwd: Path, trace: Path) -> list[Call]:
    """Run a Python command under strace and return its calls that went well."""
    strace = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(cwd)}
    subprocess.run([*strace, sys.executable, *command], cwd=cwd, env=environment, check=True, capture_output=True)
    return list(parse(trace.read_text(errors="replace").splitlines()))


def parse(lines: Sequence[str]) -> Iterator[Call]:
    """Read strace's lines."""
    for line in lines:
        match = _LINE.match(line)
        if match is None or int(match[3]) < 0:
            continue
        name, arguments, result = match[1], match[2], int(match[3])
        texts = [_bytes(text) for text in _TEXT.findall(_HANDLE.sub("", arguments))]
        handle = _HANDLE.match(arguments)
        if name in ("write", "pwrite64"):
            numbers = re.findall(r", (\d+)", arguments[arguments.rindex('"') :])
            if handle is not None:
                offset = int(numbers[1]) if name == "pwrite64" else None
                yield Call(name, [_name(handle[2])], int(handle[1]), texts[0][:result], offset)
        elif name in ("fsync", "fdatasync", "ftruncate") and handle is not None:
            size = int(arguments.rsplit(", ", 1)[1]) if name == "ftruncate" else None
            yield Call(name, [_name(handle[2])], int(handle[1]), offset=size)
        elif name not in ("fsync", "fdatasync", "ftruncate"):
            yield Call(name, [os.fsdecode(text) for text in texts], result, flags=arguments)


def _name(text: str) -> str:
    return os.fsdecode(_bytes(text)) if "\\x" in text else text


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
