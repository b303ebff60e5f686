"""The machine is split in one place, and everybody keeps to it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.budget import decide_budget, num_cores

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
def test_one_process_has_all_cores_and_its_stages_overlap_where_there_are_two(cores: int) -> None:
    budget = decide_budget(cores=cores)
    assert (budget.num_processes, budget.engine_threads) == (1, cores)
    assert budget.is_overlapped == (cores > 1)


def test_frames_are_restyled_at_once_unless_pictures_come_one_by_one_or_a_gpu_takes_them_together() -> None:
    assert [decide_budget(cores=cores).streams for cores in (1, 2, 4, 16)] == [1, 2, 4, 4]
    assert decide_budget(cores=16, is_sequential=True).streams == 1
    assert decide_budget(cores=16, num_gpus=1).streams == 1


def test_processes_share_the_cores_but_not_the_encoders_threads_which_shape_its_bits() -> None:
    alone, four = decide_budget(cores=16), decide_budget(cores=16, parallel=4)
    assert four.engine_threads == 4
    assert four.encoder_threads == alone.encoder_threads


def test_what_the_user_allows_holds_for_every_process() -> None:
    assert decide_budget(cores=16, threads=3, parallel=2).engine_threads == 3


def test_more_processes_than_cores_have_a_thread_each() -> None:
    assert decide_budget(cores=2, parallel=8).engine_threads == 1


def test_there_is_a_process_for_each_gpu() -> None:
    assert decide_budget(cores=16, num_gpus=4).num_processes == 4


def test_omp_num_threads_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert num_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "some")
    assert num_cores() >= 1


def test_a_worker_of_watch_folders_passes_its_share_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.worker_process import _limit_threads

    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    _limit_threads(1)
    assert num_cores() == decide_budget().engine_threads == decide_budget().encoder_threads == 1


def test_a_process_told_its_share_gives_it_to_every_library() -> None:
    code = (
        "import os; os.environ['OMP_NUM_THREADS'] = '1'; from pipeline.settings import ConvertSettings;"
        "from pipeline.studio import build_studio; studio = build_studio(ConvertSettings(style='rehearsal'));"
        "studio.load(); import cv2, torch; print(cv2.getNumThreads(), torch.get_num_threads(),"
        "studio.budget.engine_threads, studio.budget.encoder_threads)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": ""}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert said.stdout.split() == [b"1"] * 4


def test_converting_imports_nothing_that_it_does_not_need(style_file: Path) -> None:
    code = (
        "import sys; from pipeline.settings import ConvertSettings; from pipeline.studio import build_studio;"
        f"build_studio(ConvertSettings(style={str(style_file)!r})).load();"
        "import pipeline.video; print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    again = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    loaded = set(again.stdout.split())
    assert "cv2" in loaded, said.stderr
    assert not {"scipy", "skimage", "torchvision", "matplotlib", "dlib", "face_alignment", "ray", "rich"} & loaded
