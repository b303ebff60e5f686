"""Who may look at the status page, who may act on it, and what every answer forbids the browser."""

from pathlib import Path

import pytest

from jobs.dashboard.guard import is_known_host
from jobs.dashboard.settings import DashboardSettings, parse_bind, secured
from jobs.errors import DashboardError
from jobs.job import JobState
from tests.jobs.dashboard_site import ADDRESS, Site
from tests.jobs.rows import ended, queued

TOKEN = "correct-horse-battery"
EVERYWHERE = ["/", "/jobs?state=done", "/jobs/1", "/health", "/api/jobs", "/api/jobs/1", "/api/health", "/events",
              "/thumbs/1/before"]  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path, {"allow_actions": True})
    ended(site.store, "broken.mp4", JobState.FAILED)
    return site


@pytest.fixture
def guarded(tmp_path: Path) -> Site:
    site = Site(tmp_path, {"token": TOKEN, "allow_actions": True, "host": "0.0.0.0"})
    queued(site.store, "secret.mp4")
    site.add_thumbnail(1)
    return site


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (":8080", ("127.0.0.1", 8080)),
        ("8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9000", ("::1", 9000)),
        ("box.lan:1", ("box.lan", 1)),
    ],
)
def test_an_address_may_leave_out_the_machine_which_is_then_this_one(text: str, meant: tuple[str, int]) -> None:
    assert parse_bind(text) == meant


@pytest.mark.parametrize("text", ["", ":", "localhost", "1.2.3.4:http", ":70000", "http://x:80", "a b:80", "u@x:80"])
def test_an_address_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(DashboardError, match=f'cannot listen on "{text}"'):
        parse_bind(text)


def test_a_server_that_others_reach_always_has_a_token(tmp_path: Path) -> None:
    made = [secured(DashboardSettings(tmp_path, host)).token for host in ("0.0.0.0", "192.168.1.4", "::", "box.lan")]
    assert all(token and len(token) >= 32 for token in made)
    assert len(set(made)) == len(made)
    assert secured(DashboardSettings(tmp_path, "127.0.0.1")).token is None
    with pytest.raises(DashboardError, match="8 to 512"):
        secured(DashboardSettings(tmp_path, "0.0.0.0", token="short"))


@pytest.mark.parametrize("path", EVERYWHERE)
def test_without_the_token_nothing_is_told(guarded: Site, path: str) -> None:
    for answer in (guarded.get(path), guarded.ask("GET", path), guarded.get(path, authorization="Bearer wrong")):
        assert answer.status_code in (303, 401)
        assert answer.headers.get("location") in (None, "/login")
        assert b"secret" not in answer.content


def test_a_wrong_token_opens_nothing(guarded: Site) -> None:
    assert guarded.get("/?token=correct-horse-batterz").headers["location"] == "/login"
    assert guarded.get("/", cookie=f"ugatit-8080={TOKEN}").headers["location"] == "/login"
    assert guarded.ask("POST", "/login", data={"token": "x"}).status_code == 403


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(guarded: Site) -> None:
    answer = guarded.get(f"/jobs?state=queued&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=queued")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    assert "secret.mp4" in guarded.get("/jobs?state=queued", cookie=cookie.partition(";")[0]).text


def test_the_way_back_from_the_token_never_leads_to_another_server(guarded: Site) -> None:
    for path in ("//elsewhere.example/x", "/\\elsewhere.example/x", "///elsewhere.example"):
        location = guarded.get(f"{ADDRESS}{path}?token={TOKEN}").headers["location"]
        assert location.startswith("/")
        assert location[1] not in "/\\"


def test_the_token_can_be_typed_or_sent_by_a_program(guarded: Site) -> None:
    typed = guarded.ask("POST", "/login", data={"token": TOKEN})
    assert guarded.get("/", cookie=typed.headers["set-cookie"].partition(";")[0]).status_code == 200
    assert guarded.get("/api/jobs", authorization=f"Bearer {TOKEN}").json()["counts"]["queued"] == 1


@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("192.168.3.4:8080", True),
        ("page.example", True),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("", False),
        ("[::1", False),
        ("localhost:port", False),
        ("localhost/..", False),
    ],
)
def test_only_addresses_and_known_names_are_answered(tmp_path: Path, header: str, is_known: bool) -> None:
    assert is_known_host(header, DashboardSettings(tmp_path, hosts=frozenset({"Page.example"}))) is is_known


def test_a_name_that_was_bent_to_this_machine_sees_nothing(site: Site) -> None:
    answer = site.get("/", host="evil.example:8080")
    assert answer.status_code == 421
    assert "broken" not in answer.text


@pytest.mark.parametrize("path", ["/", "/api/jobs", "/static/live.js", "/nothing", "/thumbs/1/before"])
def test_every_answer_forbids_scripts_frames_and_guesses(site: Site, path: str) -> None:
    headers = site.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_an_answer_nobody_foresaw_has_the_headers_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.dashboard.reading.Reader.overview", lambda self: 1 / 0)
    answer = site.ask("GET", "/", quiet=True)
    assert answer.status_code == 500
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "division" not in answer.text


def test_a_form_of_our_own_page_is_obeyed(site: Site) -> None:
    assert site.post("/jobs/1/retry").status_code == 303
    assert site.store.get(1).state is JobState.QUEUED


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"content-type": "text/plain"},
    ],
)
def test_a_form_from_elsewhere_is_refused(site: Site, headers: dict[str, str]) -> None:
    assert site.post("/jobs/1/retry", **headers).status_code == 403
    assert site.store.get(1).state is JobState.FAILED


@pytest.mark.parametrize("mark", ["", "0" * 64, "\udcff"])
def test_a_form_without_our_mark_is_refused(site: Site, mark: str) -> None:
    body = f"mark={'%ff' if mark.startswith(chr(0xDCFF)) else mark}&back=/"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert site.ask("POST", "/jobs/1/retry", content=body, headers=headers).status_code == 403
    assert site.store.get(1).state is JobState.FAILED


def test_a_form_that_does_not_end_is_refused(site: Site) -> None:
    assert site.post("/jobs/1/retry", {"more": "x" * 10_000}).status_code == 403


def test_nothing_is_done_by_looking(site: Site) -> None:
    for path in ("/jobs/1/retry", "/pause", "/resume"):
        assert site.get(path).status_code in (404, 405)
    assert site.store.get(1).state is JobState.FAILED
    assert not site.store.is_paused()


def test_a_server_that_is_read_only_has_no_buttons_and_obeys_none(tmp_path: Path) -> None:
    site = Site(tmp_path)
    ended(site.store, "broken.mp4", JobState.FAILED)
    for path in ("/", "/jobs/1", "/jobs?state=failed"):
        assert "<form" not in site.get(path).text
    for path in ("/jobs/1/retry", "/pause"):
        assert site.post(path).status_code == 403
    assert site.store.get(1).state is JobState.FAILED
