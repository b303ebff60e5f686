"""Results for sources whose content another job had: the same file under a second name, or else a copy."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from .disks import rename_no_replace, sync
from .job import Job, Link
from .publishing import candidates, make_folders
from .report_files import report_path


def link_result(job: Job, link: Link) -> Path:
    """Give the result of a job to another source with its content; may be done twice.

    Args:
        job: done.
        link: the other source.

    Returns:
        The result's second name.

    Raises:
        FileNotFoundError: the job's result is not there any more.
        OSError: it cannot be done now.
    """
    assert job.output is not None  # a job that is done has one
    if not job.output.exists():
        raise FileNotFoundError(f'the result "{job.output}" is gone')
    place = link.output_folder / link.relative
    if not job.output.is_dir():
        place = place.with_suffix(job.output.suffix)
    make_folders(place.parent, link.output_folder)
    for path in candidates(place, job.kind):
        if os.path.lexists(path):
            if _is_result(path, job.output):
                return path
        elif report_path(path, job.kind) is not None:
            with suppress(FileExistsError):
                _publish(job, link, path)
                return path
    raise AssertionError("names never end")


def _publish(job: Job, link: Link, path: Path) -> None:
    """Stage the second file and its report, then give both their names, the report first."""
    staging = job.work_folder.with_name(f"{job.id}.link")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        staged = staging / "result"
        _link_or_copy(Path(job.output or ""), staged)
        place = report_path(path, job.kind)
        if job.report and place is not None:
            report = staging / "report"
            report.write_text(_report(job, link, path), encoding="utf-8", errors="backslashreplace")
            report.replace(place)
        rename_no_replace(staged, path)
        sync(path.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _link_or_copy(result: Path, staged: Path) -> None:
    if result.is_dir():
        shutil.copytree(result, staged, copy_function=_link_file)
    else:
        _link_file(str(result), str(staged))


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
        sync(Path(target))


def _report(job: Job, link: Link, path: Path) -> str:
    facts = json.loads(job.report or "{}")
    return json.dumps(facts | {"input": str(link.source), "output": str(path)}, indent=2, ensure_ascii=False) + "\n"


def _is_result(path: Path, result: Path) -> bool:
    """Tell whether a file or folder is a second name, or a copy, of a result."""
    if path.is_dir() != result.is_dir():
        return False
    if not path.is_dir():
        return path.samefile(result) or _are_equal(path, result)
    names = sorted(file.relative_to(result) for file in result.rglob("*") if file.is_file())
    there = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    return names == there and all(_is_result(path / name, result / name) for name in names)


def _are_equal(path: Path, other: Path) -> bool:
    import filecmp

    return path.stat().st_size == other.stat().st_size and filecmp.cmp(path, other, shallow=False)
