"""A daemon to be killed: `python -m tests.jobs.pool_process STATE_FOLDER`."""

import sys
import time
from pathlib import Path

from jobs.pool import Pool, PoolSettings
from tests.jobs.queues import ObedientHandler

if __name__ == "__main__":
    pool = Pool(PoolSettings(Path(sys.argv[1]), workers=1, make_handler=ObedientHandler))
    pool.start()
    while True:
        pool.tick()
        time.sleep(0.05)
