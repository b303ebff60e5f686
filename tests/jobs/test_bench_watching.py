"""What watching costs is measured on a real table, real processes and files that are known."""

from dataclasses import asdict

from jobs.bench_watching import _page, _rescan, measure_watching


def test_a_look_through_known_files_takes_none_for_new(tmp_path):
    [figure] = _rescan(tmp_path, 30)
    assert figure.value > 0
    assert "30 files" in figure.what


def test_the_page_is_asked_from_its_own_process(tmp_path):
    page, memory = _page(tmp_path, 20)
    assert page.unit == "ms"
    assert page.value > 0
    assert memory.value > 5


def test_all_is_measured_step_by_step(monkeypatch):
    monkeypatch.setattr("jobs.bench_watching._worker", lambda root: [])
    steps = []
    figures = measure_watching(lambda done, total: steps.append((done, total)), num_files=5, num_jobs=5)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert [asdict(figure)["name"] for figure in figures] == ["rescan", "page", "page memory"]
