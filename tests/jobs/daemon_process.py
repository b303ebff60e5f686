"""A daemon whose workers do what sources say: `python -m tests.jobs.daemon_process WATCH_TOML [--once]`."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

from jobs.config_files import load_config
from jobs.daemon import Daemon
from jobs.errors import JobsError
from jobs.job import Job
from jobs.pool import Pool
from jobs.progress_file import ProgressFile
from jobs.publishing import JobPublisher
from pipeline.errors import OutputError
from tests.jobs.queues import ObedientHandler

PRELOAD = ("jobs.warm", "jobs.worker_process", "jobs.store")


class CarefulHandler(ObedientHandler):
    """Refuses, as pipeline does, to make the folder for results itself."""

    def __call__(self, job: Job, progress: ProgressFile, publisher: JobPublisher, *, is_young: bool = False) -> None:
        if not job.output_folder.is_dir():
            raise OutputError(f'the output folder "{job.output_folder}" is not there.')
        super().__call__(job, progress, publisher, is_young=is_young)


def main(config_file: str, *options: str) -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    config = replace(load_config(Path(config_file)), is_once="--once" in options)
    daemon = Daemon(
        config, make_pool=lambda settings: Pool(replace(settings, make_handler=CarefulHandler, preload=PRELOAD))
    )
    try:
        return daemon.run()
    except JobsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 99


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
