"""The tables, and how older ones become newer ones; opening and backing up are store_file.py's.

`PRAGMA user_version` says how many of MIGRATIONS a file has been through. A new version is one more entry at the end;
entries that were released are not changed.
"""

from __future__ import annotations

from .job import JobState

_STATES = ", ".join(f"'{state.value}'" for state in JobState)

_MOVE_COLUMNS = "job_id, before, after, reason, attempt, owner, at"

VERSION_1 = (
    f"""
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        state TEXT NOT NULL CHECK (state IN ({_STATES})),
        kind TEXT NOT NULL,
        folder BLOB NOT NULL,
        source BLOB NOT NULL,
        relative BLOB NOT NULL,
        output_folder BLOB NOT NULL,
        treatment TEXT NOT NULL,
        opts_hash TEXT NOT NULL,
        priority INTEGER NOT NULL DEFAULT 0,
        stamp TEXT,
        stamped_boot_secs REAL NOT NULL DEFAULT 0,
        stamped_boot_id TEXT NOT NULL DEFAULT '',
        fingerprint TEXT,
        owner TEXT,
        attempt INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0,
        exceptions INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        block TEXT NOT NULL DEFAULT '',
        ready_boot_secs REAL NOT NULL DEFAULT 0,
        boot_id TEXT NOT NULL DEFAULT '',
        is_held INTEGER NOT NULL DEFAULT 0,
        output BLOB,
        output_bytes INTEGER,
        output_sha256 TEXT,
        report TEXT,
        is_aftermath_done INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        changed_at REAL NOT NULL,
        UNIQUE (fingerprint, opts_hash),
        CHECK ((owner IS NOT NULL) = (state IN ('running', 'publishing'))),
        CHECK (state != 'settling' OR fingerprint IS NULL),
        CHECK (state NOT IN ('queued', 'running', 'publishing', 'done') OR fingerprint IS NOT NULL),
        CHECK (state NOT IN ('publishing', 'done') OR (output IS NOT NULL AND output_sha256 IS NOT NULL))
    )
    """,
    "CREATE INDEX jobs_in_line ON jobs (state, priority DESC, id)",
    "CREATE INDEX jobs_by_change ON jobs (state, changed_at)",  # lists of many thousands, page by page
    "CREATE INDEX jobs_by_source ON jobs (source)",
    # What was last seen at a path, and the job that has its content: what a rescan compares with.
    """
    CREATE TABLE sources (
        path BLOB PRIMARY KEY,
        folder BLOB NOT NULL,
        stamp TEXT NOT NULL,
        job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE
    ) WITHOUT ROWID
    """,
    "CREATE INDEX sources_by_folder ON sources (folder)",
    "CREATE INDEX sources_by_job ON sources (job_id)",
    # Further sources with the content of a job; output is null until its result was linked.
    """
    CREATE TABLE links (
        job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        source BLOB NOT NULL,
        relative BLOB NOT NULL,
        output_folder BLOB NOT NULL,
        folder BLOB NOT NULL,
        treatment TEXT NOT NULL,
        output BLOB,
        created_at REAL NOT NULL,
        PRIMARY KEY (job_id, source)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX links_by_source ON links (source)",
    # The history; it has rows of jobs that are no more (a sighting whose content another job had).
    f"""
    CREATE TABLE moves (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id INTEGER NOT NULL,
        before TEXT CHECK (before IN ({_STATES})),
        after TEXT NOT NULL CHECK (after IN ({_STATES})),
        reason TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        owner TEXT,
        at REAL NOT NULL
    )
    """,
    "CREATE INDEX moves_by_job ON moves (job_id)",
    f"""
    CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
        INSERT INTO moves ({_MOVE_COLUMNS})
        VALUES (NEW.id, NULL, NEW.state, NEW.reason, NEW.attempt, NEW.owner, NEW.changed_at);
    END
    """,
    # Of a move out of a worker's hands the history names that worker.
    f"""
    CREATE TRIGGER job_moved AFTER UPDATE OF state ON jobs WHEN NEW.state != OLD.state BEGIN
        INSERT INTO moves ({_MOVE_COLUMNS})
        VALUES (NEW.id, OLD.state, NEW.state, NEW.reason, NEW.attempt, coalesce(NEW.owner, OLD.owner), NEW.changed_at);
    END
    """,
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE folder_marks (folder BLOB PRIMARY KEY, token TEXT NOT NULL) WITHOUT ROWID",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (VERSION_1,)
"""Statements that lead from version n to n + 1. They run in one transaction, after the file was copied."""
