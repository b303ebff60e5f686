"""Judge what a trial left behind: lost, duplicates, partial, orphans, temp_left. A script of its own.

It reads folders, /proc and the job table, and imports nothing of the program under test; frames are decoded by
read_frames.py in a process of its own. The manifest is a JSON list of what was dropped: `path`, `sha256`, `clip` (the
number drawn into it, or None), `expect` (`done`, `failed`, or `any` for what was deleted or spoilt on purpose).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

TERMINAL = ("done", "failed", "cancelled")
RESULTS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".png", ".jpg", ".jpeg")
KEPT_STATE = ("jobs.sqlite", "watch.lock", "moves.jsonl", "health.json", "thumb", "watch.log")
"""What a daemon leaves in its state folder on purpose, by the beginning of the name."""
ORPHAN_SECS = 3.0
"""A process that ends within this after its daemon was only slow."""

Row = dict[str, Any]


def read_table(path: Path, table: str) -> list[Row]:
    """Return every row of a table as a dictionary; paths are BLOBs and become text."""
    try:
        rows = _rows(path, table, "ro")
    except sqlite3.OperationalError:
        if not path.exists():
            raise
        rows = _rows(path, table, "rw")  # what a killed writer left must be rolled back, which a reader may not
    return [{k: os.fsdecode(v) if isinstance(v, bytes) else v for k, v in row.items()} for row in rows]


def _rows(path: Path, table: str, mode: str) -> list[Row]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=60)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]


def integrity(path: Path) -> str:
    """Return what SQLite itself says about the file: `ok`."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=60)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def visible_results(folder: Path) -> list[str]:
    """List the results below an output folder; hidden folders hold none."""
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(where, name) for name in names if name.lower().endswith(RESULTS) and name[0] != "."]
    return sorted(found)


def left_over(out: Path, state: Path, results: set[str]) -> list[str]:
    """List what is neither a result on record, nor its report, nor something a daemon keeps."""
    reports = {str(Path(path).with_name(Path(path).name + ".report.json")) for path in results}
    reports |= {str(Path(path).with_suffix(".report.json")) for path in results}
    left = []
    for where, _, names in os.walk(out):
        for name in names:
            path = os.path.join(where, name)
            is_kept = any(_is_kept(Path(path), folder) for folder in (state, out / ".ugatit"))
            if not (path in reports or _is_of(path, results) or is_kept or _reports_on(path, results)):
                left.append(path)
    return sorted(left)


def _reports_on(path: str, results: set[str]) -> bool:
    """Tell whether a file is a report that names a result; a result's name can be too long for another ending."""
    if not path.endswith(".report.json"):
        return False
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))["output"] in results
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_of(path: str, results: set[str]) -> bool:
    """Tell whether a file is a result on record, or in a folder that is one."""
    return path in results or any(str(folder) in results for folder in Path(path).parents)


def _is_kept(path: Path, state: Path) -> bool:
    if not path.is_relative_to(state):
        return False
    first = path.relative_to(state).parts[0]
    return first.startswith(KEPT_STATE) and not first.endswith(("-journal", "-wal"))


def sha256_of(path: str) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_frames(paths: list[str]) -> dict[str, Row]:
    """Decode files in another process."""
    script = Path(__file__).with_name("read_frames.py")
    found: dict[str, Row] = {}
    for start in range(0, len(paths), 200):
        command = [sys.executable, str(script), *paths[start : start + 200]]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        found |= {row["path"]: row for row in map(json.loads, lines)}
    return found


def marked_processes(marker: str) -> list[Row]:
    """List live processes that have the marker in their environment: this script's own ancestors have not."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                is_marked = marker.encode() in (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if is_marked and command:  # a zombie has neither
                found.append({"pid": int(folder.name), "command": command[:200]})
    return found


def find_orphans(marker: str) -> list[Row]:
    """List marked processes that do not end within some seconds; what is just ending is no orphan."""
    deadline = time.monotonic() + ORPHAN_SECS
    while (found := marked_processes(marker)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def find_lost(jobs: list[Row], links: list[Row], dropped: list[Row]) -> list[Row]:
    """List what was accepted or dropped and has come to no end, or to another one than it had to."""
    lost = [
        {"why": f"job {job['id']} is still {job['state']}", "path": job["source"], "reason": job["reason"]}
        for job in jobs
        if job["state"] not in TERMINAL
    ]
    lost += [
        {"why": f"job {job['id']} is done, its result is not there", "path": job["output"]}
        for job in jobs
        if job["state"] == "done" and not os.path.lexists(job["output"] or "")
    ]
    done = {job["id"] for job in jobs if job["state"] == "done"}
    lost += [
        {"why": "its content is done, the link to the result is not there", "path": link["source"]}
        for link in links
        if link["job_id"] in done and not _is_linked(link)
    ]
    by_content = {job["fingerprint"]: job["state"] for job in jobs}
    by_path = {job["source"]: job["state"] for job in jobs}
    for drop in dropped:
        state = by_content.get(drop["sha256"]) or by_path.get(drop["path"])
        expect = drop.get("expect", "done")
        if (state is None and expect != "any") or (expect in ("done", "failed") and state not in (None, expect)):
            lost.append({"why": f"dropped, must be {expect}, is {state}", "path": drop["path"]})
    return lost


def _is_linked(link: Row) -> bool:
    return bool(link.get("output")) and os.path.lexists(link["output"])


def find_duplicates(jobs: list[Row], moves: list[Row], outputs: set[str], frames: dict[str, Row]) -> list[Row]:
    """List results that were published more often than once per identity."""
    identities = Counter((job["fingerprint"], job["opts_hash"]) for job in jobs if job["state"] == "done")
    twice: list[Row] = [{"why": "two jobs of one identity", "what": key} for key, n in identities.items() if n > 1]
    ends = Counter(move["job_id"] for move in moves if move["after"] == "done")
    again = Counter(move["job_id"] for move in moves if move["before"] == "done")
    twice += [{"why": f"job {job} was done {n} times"} for job, n in ends.items() if n > 1 + again[job]]
    names: dict[int, list[str]] = defaultdict(list)
    for path, row in frames.items():
        names[row.get("clip", -1)].append(path)
    for paths in names.values():
        strays = [path for path in paths if not _is_of(path, outputs)]
        twice += [{"why": "another result of the same clip", "path": path} for path in strays[: len(paths) - 1]]
    return twice


def find_partial(jobs: list[Row], outputs: set[str], frames: dict[str, Row], dropped: list[Row]) -> list[Row]:
    """List visible results that are not whole, not restyled, not of their own source, or not what the table says."""
    clip_of = {drop["sha256"]: drop.get("clip") for drop in dropped}
    wrong: list[Row] = []
    for path, row in frames.items():
        if not (row["is_whole"] and row["is_restyled"]):
            wrong.append({"path": path, "error": row.get("error"), "frames": len(row["frames"]), **_flags(row)})
    for job in jobs:
        if job["state"] != "done" or job["output"] not in frames:
            continue
        clip = clip_of.get(job["fingerprint"])
        if clip is not None and frames[job["output"]].get("clip") != clip:
            wrong.append({"path": job["output"], "error": f"shows another clip than {clip}"})
        if sha256_of(job["output"]) != job["output_sha256"]:
            wrong.append({"path": job["output"], "error": "has not the hash on record"})
    return wrong


def _flags(row: Row) -> Row:
    return {"is_whole": row["is_whole"], "is_restyled": row["is_restyled"]}


def judge(arguments: argparse.Namespace) -> Row:
    """Look at everything and count."""
    table = arguments.state / "jobs.sqlite"
    jobs, moves, links = (read_table(table, name) for name in ("jobs", "moves", "links"))
    dropped = json.loads(arguments.manifest.read_text()) if arguments.manifest else []
    sampled = json.loads(arguments.sampled.read_text()) if arguments.sampled else {"partial": []}
    outputs = {job["output"] for job in jobs if job["state"] == "done" and job["output"]}
    outputs |= {link["output"] for link in links if _is_linked(link)}
    results = [path for out in arguments.out for path in visible_results(out)]
    frames = read_frames(results)
    details = {
        "lost": find_lost(jobs, links, dropped),
        "duplicates": find_duplicates(jobs, moves, outputs, frames),
        "partial": find_partial(jobs, outputs, frames, dropped) + sampled["partial"],
        "orphans": find_orphans(arguments.marker) if arguments.marker else [],
        "temp_left": [path for out in arguments.out for path in left_over(out, arguments.state, outputs)],
    }
    if (verdict := integrity(table)) != "ok":
        details["lost"].append({"why": f"the job table is damaged: {verdict}"})
    counts = {name: len(found) for name, found in details.items()}
    states = dict(Counter(job["state"] for job in jobs))
    return {**counts, "states": states, "results": len(results), "sampled": sampled, "details": details}


def main() -> int:
    """Print one JSON object; the exit code is 0 only if nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("state", type=Path, help="folder of jobs.sqlite")
    parser.add_argument("out", type=Path, nargs="+", help="output folders")
    parser.add_argument("--manifest", type=Path, help="what was dropped")
    parser.add_argument("--sampled", type=Path, help="what sampler.py wrote")
    parser.add_argument("--marker", help="text in the environment of every process of the trial")
    found = judge(parser.parse_args())
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if not any(found[name] for name in ("lost", "duplicates", "partial", "orphans", "temp_left")) else 1


if __name__ == "__main__":
    sys.exit(main())
