"""What the pages and the JSON of the status page say about a table."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from jobs.clocks import wall_secs
from jobs.health import LOCK_NAME, FolderHealth, Heartbeat
from jobs.job import JobState
from jobs.locks import FileLock
from jobs.progress_file import WorkerStatus, status_path
from tests.jobs.dashboard_site import Elements, Site
from tests.jobs.rows import claimed, done, ended, joined, queued, settled

REPORT = {"frames": 1234, "faces": 2000, "fps": 25.0, "elapsed_secs": 49.4, "jitter_in_percent": 2.0,
          "jitter_out_percent": 0.5, "warnings": ["one stream was left out"]}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"allow_actions": True})


def write_progress(site: Site, owner: str, job: int, **more: object) -> None:
    status = WorkerStatus(owner, 1, job=job, stage="stylising", done=300, total=1200, faces=310, fps=20.0,
                          remaining_secs=45.0, at=wall_secs())  # fmt: skip
    path = status_path(site.state, owner)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(status) | more))


def text(site: Site, path: str = "/") -> str:
    return Elements(site.get(path).text).text


def test_a_running_job_shows_stage_frames_speed_and_time_left(site: Site) -> None:
    queued(site.store, "clip.mp4")
    write_progress(site, claimed(site.store).owner or "", 1)
    page = site.get("/").text
    assert "Stage stylising Frames 300 / 1 200 Speed 20.0 fps Left 45 s Faces 310" in Elements(page).text
    [bar] = Elements(page).all("progress")
    assert (bar["value"], bar["max"]) == ("25.0", "100")


def test_what_another_worker_wrote_is_not_a_job_s_progress(site: Site) -> None:
    queued(site.store, "clip.mp4")
    claimed(site.store, "worker-2")
    write_progress(site, "worker-1", 1)
    assert "Stage starting" in text(site)


def test_a_worker_that_says_nothing_for_long_is_shown_as_silent(site: Site) -> None:
    queued(site.store, "clip.mp4")
    write_progress(site, claimed(site.store).owner or "", 1, at=wall_secs() - 600)
    assert "silent for 10 min" in text(site)


def test_the_queue_is_shown_in_the_order_in_which_workers_take_it(site: Site) -> None:
    for name, priority in (("later.mp4", 0), ("last.mp4", 0), ("first.mp4", 5)):
        queued(site.store, name, priority=priority)
    page = text(site)
    assert page.index("first.mp4") < page.index("later.mp4") < page.index("last.mp4")


def test_what_is_blocked_failed_or_tried_again_says_why(site: Site) -> None:
    ended(site.store, "full.mp4", JobState.BLOCKED)
    ended(site.store, "broken.mp4", JobState.FAILED)
    queued(site.store, "again.mp4")
    site.store.release(claimed(site.store), JobState.QUEUED, reason="the encoder died", delay_secs=50)
    page = text(site)
    assert page.count("Why.") == 2
    assert "The encoder died." in page
    assert "not before" in page


def test_a_done_job_shows_both_pictures_and_what_was_measured(site: Site) -> None:
    queued(site.store, "clip.mp4")
    job = site.store.begin_publishing(claimed(site.store), Path("/out/clip.mp4"), 5, "5ha", json.dumps(REPORT))
    site.store.finish(job)
    site.add_thumbnail(1, "before")
    site.add_thumbnail(1, "after")
    page = Elements(site.get("/").text)
    for figure in ("1 234 frames", "2 000 faces", "25.0 fps", "4.0× steadier", "1 warning"):
        assert figure in page.text
    for alt, side in (("Before", "before"), ("After", "after")):
        [picture] = [image for image in page.all("img") if image.get("alt") == alt]
        assert str(picture["src"]).startswith(f"/thumbs/1/{side}?v=")
    assert "One stream was left out." in text(site, "/jobs/1")


def test_the_page_of_a_job_tells_its_files_history_and_choices(site: Site) -> None:
    queued(site.store, "sub/clip.mp4", convert={"style": "toon", "codec": "auto"}, on_done=("mail", "{output}"))
    page = text(site, "/jobs/1")
    for words in ("/in/sub/clip.mp4", "Queued", "Arriving", "style toon", "mail {output}", "/out/.ugatit/jobs/1"):
        assert words in page


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>alert(1)<!--.mp4", "<script>alert(1)<!--.mp4"),
        ('"><img src=x onerror=alert(1)>.mp4', '"><img src=x onerror=alert(1)>.mp4'),
        ("line\nbreak\r.mp4", r"line\nbreak\r.mp4"),
        (os.fsdecode(b"caf\xe9\xff.mp4"), r"caf\xe9\xff.mp4"),
        ("gnp.\u202e4pm.exe", r"gnp.\u202e4pm.exe"),
        ("{{ 7 * 7 }}.mp4", "{{ 7 * 7 }}.mp4"),
        ("\x1b[31mred\x00.mp4".replace("\x00", ""), r"\x1b[31mred.mp4"),
        ("家族 👩‍👧.mp4", "家族 👩‍👧.mp4"),
    ],
)
def test_a_hostile_name_is_shown_as_what_it_is_and_does_nothing(site: Site, name: str, shown: str) -> None:
    ended(site.store, name, JobState.FAILED, content="c")
    for path in ("/", "/jobs?state=failed", "/jobs/1"):
        page = Elements(site.get(path).text)
        assert shown in page.text
        assert all(str(script.get("src", "")).startswith("/static/") for script in page.all("script"))
        assert not [element for element in page.found if any(key.startswith("on") for key in element[1])]
    assert site.ask("GET", "/api/jobs/1").json()["relative"] == name


def test_nothing_on_a_page_comes_from_elsewhere_or_is_inline(site: Site) -> None:
    done(site.store, "clip.mp4")
    site.add_thumbnail(1)
    for path in ("/", "/jobs/1", "/health", "/jobs?state=done", "/login"):
        page = Elements(site.get(path).text)
        for tag, key in (("script", "src"), ("link", "href"), ("img", "src"), ("use", "href"), ("form", "action")):
            assert all(str(element.get(key)).startswith("/") for element in page.all(tag))
        assert not page.all("style")
        assert not [element for element in page.found if "style" in element[1]]
    for name in ("style.css", "live.js", "icon.svg", "icons.svg"):
        assert site.get(f"/static/{name}").status_code == 200


def test_without_scripts_the_page_asks_for_itself_again(site: Site) -> None:
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in site.get("/").text


def test_long_lists_come_in_pages(site: Site) -> None:
    site.store._connection.execute("BEGIN")
    for number in range(120):
        site.store._connection.execute(
            "INSERT INTO jobs (state, kind, folder, source, relative, output_folder, treatment, opts_hash, fingerprint,"
            " created_at, changed_at) VALUES ('queued', 'video', X'2f', X'2f', ?, X'2f', '{}', 'o', ?, 0, 0)",
            (f"clip-{number:03}.mp4".encode(), str(number)),
        )
    site.store._connection.execute("COMMIT")
    pages = [text(site, f"/jobs?state=queued&page={page}") for page in (1, 2, 3)]
    assert [page.count(".mp4") for page in pages] == [50, 50, 20]
    assert "clip-050.mp4" in pages[1]
    assert "Page 3 of 3" in pages[2]
    assert text(site, "/jobs?state=queued&page=99999") == pages[2]
    assert "All 120 in the queue" in text(site)
    assert len(site.get("/api/jobs?state=queued&page=2&size=100").json()["jobs"]) == 20


def test_thumbnails_are_given_by_number_only_and_never_through_a_link(site: Site, tmp_path: Path) -> None:
    picture = site.add_thumbnail(1)
    assert site.get("/thumbs/1/before").content == picture
    assert site.get("/thumbs/1/before").headers["content-type"] == "image/jpeg"
    folder = site.state / "thumbnails"
    (tmp_path / "secret.jpg").write_bytes(picture)
    (folder / "2-before.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "3-before.jpg").write_text("<script>")
    os.mkfifo(folder / "4-before.jpg")
    for path in ("2/before", "3/before", "4/before", "5/before", "1/after", "1/..", "1/before.jpg", "../1/before",
                 "1/%2e%2e%2fsecret", "-1/before", "1%00/before"):  # fmt: skip
        assert site.get(f"/thumbs/{path}").status_code == 404


def test_the_daemon_s_health_is_told(site: Site) -> None:
    assert "Not running" in text(site)
    with FileLock(site.state / LOCK_NAME):
        beat = Heartbeat(site.state)
        beat.beat("watching", [FolderHealth("/in", True, "events")])
        assert "Watching" in text(site)
        assert site.ask("GET", "/api/health").json()["healthy"]
        beat.beat("watching", [FolderHealth("/mnt/card", False, "nothing is mounted")])
        assert 'The watch folder "/mnt/card" is away: nothing is mounted.' in text(site)
        assert site.ask("GET", "/api/health").status_code == 503
        site.store.pause(True)
        assert "nothing new is begun" in text(site)
    write_progress(site, "worker-7", 3)
    assert "worker-7" in text(site, "/health")


def test_a_folder_whose_time_it_is_not_is_named_and_so_are_its_jobs(site: Site) -> None:
    queued(site.store, "clip.mp4")
    with FileLock(site.state / LOCK_NAME):
        Heartbeat(site.state).beat("watching", [FolderHealth("/in", True, "events")])
        assert "not at this time" not in text(site)
        site.store.close_folders({"/in"})
        page = text(site)
    assert 'It is not the time for jobs of "/in"' in page
    assert "not at this time" in page


def test_before_there_is_a_table_the_page_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path / "state", {"allow_actions": True})
    site.store.close()
    (site.state / "jobs.sqlite").unlink()
    for path in ("/", "/jobs", "/jobs/1"):
        answer = site.get(path)
        assert answer.status_code == 503
        assert "There is no job table" in Elements(answer.text).text
        assert '<meta http-equiv="refresh"' in answer.text
    assert "no job table" in site.ask("GET", "/api/jobs").json()["error"]
    assert not (site.state / "jobs.sqlite").exists()


def test_json_has_counts_rows_and_everything_about_one_job(site: Site) -> None:
    settled(site.store, "coming.mp4")
    queued(site.store, "clip.mp4")
    write_progress(site, claimed(site.store).owner or "", 2)
    assert site.ask("GET", "/api/jobs").json()["counts"] == {
        "settling": 1, "queued": 0, "running": 1, "blocked": 0, "failed": 0, "done": 0, "cancelled": 0,
    }  # fmt: skip
    [row] = site.ask("GET", "/api/jobs?state=running").json()["jobs"]
    assert (row["id"], row["source"], row["progress"]["done"]) == (2, "/in/clip.mp4", 300)
    job = site.ask("GET", "/api/jobs/2").json()
    assert [move["state"] for move in job["moves"]] == ["running", "queued", "settling"]
    assert site.ask("GET", "/api/jobs/99").status_code == 404
    assert site.ask("GET", "/api/jobs?state=odd").status_code == 400


def test_a_job_tells_which_other_sources_have_its_result(site: Site) -> None:
    queued(site.store, "clip.mp4", "content")
    joined(site.store, "again.mp4", "content")
    assert "/in/again.mp4 not yet" in text(site, "/jobs/1")
    [link] = site.ask("GET", "/api/jobs/1").json()["links"]
    assert link["source"] == "/in/again.mp4"


@pytest.mark.parametrize("path", ["/jobs/99", "/jobs?state=odd", "/jobs/x", "/nothing", "/jobs/99999999999999999999"])
def test_what_is_not_there_is_said_on_a_page(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 404
    assert "To the overview" in answer.text
