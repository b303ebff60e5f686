"""What is wrong with an address or a node is said in a sentence, and no work is begun."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import HEAD_IP, SECOND_IP, TwoNodes, wait_for
from tests.cluster.drivers import Driver, renderers_of
from tests.pipeline.clips import frame_hashes, write_clip

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "short.mp4", 30)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.9:1", "no Ray cluster answers"),
        ("ray://127.0.0.9:1", "no Ray cluster answers"),
        ("here", "no address"),
    ],
)
def test_a_wrong_address_is_told_before_any_work(
    nodes: TwoNodes, short_clip: Path, tmp_path: Path, address: str, words: str
) -> None:
    with Driver(nodes, short_clip, tmp_path, address=address) as driver:
        assert words in driver.end()["error"]
        assert driver.process.returncode == 13
        assert not driver.work.exists()


def test_a_node_without_the_program_is_named_and_left_out(nodes: TwoNodes, short_clip: Path, tmp_path: Path) -> None:
    nodes.kill_node(SECOND_IP)
    start_up = tmp_path / "sitecustomize"
    start_up.mkdir()
    (start_up / "sitecustomize.py").write_text("import sys\nsys.modules['pipeline'] = None\n")
    nodes.start_second(PYTHONPATH=os.pathsep.join([str(start_up), nodes.environment["PYTHONPATH"]]))
    try:
        with Driver(nodes, short_clip, tmp_path) as driver:
            assert driver.end()["ok"]
            assert driver.nodes_used() == {HEAD_IP}
            assert f'({SECOND_IP})" has no ugatit-pipeline that its Python finds; pip install' in driver.log()
    finally:
        nodes.kill_node(SECOND_IP)


def test_a_node_that_does_not_see_the_folder_is_named_and_left_out(
    nodes: TwoNodes, short_clip: Path, tmp_path: Path
) -> None:
    elsewhere = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{tmp_path}" && exec "$@"', "sh")
    if shutil.which("unshare") is None or subprocess.run([*elsewhere, "true"], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    nodes.kill_node(SECOND_IP)
    nodes.start_second(before=elsewhere)
    try:
        with Driver(nodes, short_clip, tmp_path) as driver:
            assert driver.end()["ok"]
            assert driver.nodes_used() == {HEAD_IP}
            assert f'({SECOND_IP})" cannot write to "{tmp_path}' in driver.log()
            assert "mount the same shared folder under the same path" in driver.log()
    finally:
        nodes.kill_node(SECOND_IP)


def test_errors_of_a_conversion_come_back_as_what_they_are(nodes: TwoNodes, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 100)
    with Driver(nodes, clip, tmp_path) as driver:
        driver.wait_for_chunks()
        clip.write_bytes(clip.read_bytes()[:20_000])
        found = driver.end()
        assert found["kind"] == "SourceChangedError"
        wait_for(lambda: not renderers_of(nodes), 30)


def test_the_built_in_style_gives_the_frames_that_one_machine_gives(nodes: TwoNodes, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 40)
    with Driver(nodes, clip, tmp_path, "--style", "toon", "--threads", "1") as driver:
        assert driver.end()["ok"], driver.log()
        assert driver.nodes_used() == {HEAD_IP, SECOND_IP}
    from pipeline.convert import convert_all
    from pipeline.progress import SilentProgress
    from pipeline.settings import ConvertSettings

    alone = tmp_path / "alone.mp4"
    settings = ConvertSettings(style="toon", threads=1, parallel=1, chunk_secs=0.5)
    [outcome] = convert_all([str(clip)], alone, settings, SilentProgress())
    assert outcome.error is None
    assert frame_hashes(driver.output) == frame_hashes(alone)
