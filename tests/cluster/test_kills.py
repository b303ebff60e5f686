"""Row 49 of docs/cluster.md: whoever dies, finished chunks stay as they are and the result is the same."""

import signal
from pathlib import Path

import pytest

from pipeline.convert import convert_all
from pipeline.progress import SilentProgress
from tests.cluster.conftest import HEAD_IP, SECOND_IP, TwoNodes, kill, wait_for
from tests.cluster.drivers import NUM_CHUNKS, NUM_FRAMES, Driver, rehearsal, renderers_of
from tests.pipeline.clips import frame_hashes, write_clip

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", NUM_FRAMES)


@pytest.fixture(scope="module")
def wanted(long_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The frames that one machine makes."""
    output = tmp_path_factory.mktemp("alone") / "out.mp4"
    [outcome] = convert_all([str(long_clip)], output, rehearsal(), SilentProgress())
    assert outcome.error is None
    return frame_hashes(output)


def assert_nothing_is_left(driver: Driver, nodes: TwoNodes) -> None:
    assert not driver.work.exists()
    wait_for(lambda: not renderers_of(nodes), 30)


def test_two_nodes_make_the_frames_that_one_machine_makes(
    nodes: TwoNodes, long_clip: Path, wanted: list[str], tmp_path: Path
) -> None:
    with Driver(nodes, long_clip, tmp_path) as driver:
        report = driver.end()
        assert report["ok"]
        assert frame_hashes(driver.output) == wanted
        assert driver.nodes_used() == {HEAD_IP, SECOND_IP}
        assert_nothing_is_left(driver, nodes)


def test_a_machine_that_is_no_node_reaches_the_cluster_over_the_proxy(
    nodes: TwoNodes, long_clip: Path, wanted: list[str], tmp_path: Path
) -> None:
    with Driver(nodes, long_clip, tmp_path, address=nodes.client_address) as driver:
        assert driver.end()["ok"]
        assert frame_hashes(driver.output) == wanted
        assert_nothing_is_left(driver, nodes)


@pytest.mark.parametrize("victim", ["renderer", "node"])
def test_the_others_go_on_when_one_dies(
    nodes: TwoNodes, long_clip: Path, wanted: list[str], tmp_path: Path, victim: str
) -> None:
    with Driver(nodes, long_clip, tmp_path) as driver:
        wait_for(lambda: len(nodes.actors()) == 2)
        before = driver.wait_for_chunks()
        if victim == "renderer":
            kill(nodes.actors()[0])
        else:
            nodes.kill_node(SECOND_IP)
        after = driver.wait_for_chunks(NUM_CHUNKS - 2)
        assert driver.end()["ok"]
        assert before.items() <= after.items()
        assert frame_hashes(driver.output) == wanted
        assert "was lost" in driver.log()
        assert_nothing_is_left(driver, nodes)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_whose_driver_was_ended_goes_on_from_its_finished_chunks(
    nodes: TwoNodes, long_clip: Path, wanted: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    with Driver(nodes, long_clip, tmp_path) as driver:
        driver.wait_for_chunks(2)
        driver.signal(number)
        driver.process.wait(30)
        wait_for(lambda: not renderers_of(nodes), 30)
        before = driver.finished()
    with Driver(nodes, long_clip, tmp_path) as driver:
        after = driver.wait_for_chunks(NUM_CHUNKS - 2)
        report = driver.end()
        assert report["chunks_resumed"] == len(before) >= 2
        assert before.items() <= after.items()
        assert frame_hashes(driver.output) == wanted
        assert_nothing_is_left(driver, nodes)


def test_the_process_that_speaks_with_ray_dies_and_the_next_run_goes_on(
    nodes: TwoNodes, long_clip: Path, wanted: list[str], tmp_path: Path
) -> None:
    with Driver(nodes, long_clip, tmp_path) as driver:
        before = driver.wait_for_chunks()
        kill(driver.link)
        found = driver.end()
        assert found["kind"] == "ClusterError"
    with Driver(nodes, long_clip, tmp_path) as driver:
        assert driver.end()["chunks_resumed"] >= len(before)
        assert frame_hashes(driver.output) == wanted


def test_a_head_that_dies_is_told_and_the_run_goes_on_after_its_restart(
    nodes: TwoNodes, long_clip: Path, wanted: list[str], tmp_path: Path
) -> None:
    with Driver(nodes, long_clip, tmp_path) as driver:
        driver.wait_for_chunks()
        nodes.kill_head()
        found = driver.end(90)
        assert driver.process.returncode == 13
        assert "start it again" in found["error"]
        before = driver.finished()
    nodes.stop()
    nodes.heal()
    with Driver(nodes, long_clip, tmp_path) as driver:
        assert driver.end()["chunks_resumed"] == len(before) >= 1
        assert frame_hashes(driver.output) == wanted
        assert_nothing_is_left(driver, nodes)


def test_what_a_node_that_was_cut_off_finishes_late_does_no_harm(
    nodes: TwoNodes, long_clip: Path, wanted: list[str], tmp_path: Path
) -> None:
    with Driver(nodes, long_clip, tmp_path) as driver:
        wait_for(lambda: len(nodes.actors()) == 2)
        driver.wait_for_chunks()
        frozen = [nodes.raylet(SECOND_IP), *nodes.actors(SECOND_IP)]
        try:
            for pid in frozen:
                kill(pid, signal.SIGSTOP)
            assert driver.end()["ok"]
        finally:
            for pid in frozen:
                kill(pid, signal.SIGCONT)
        assert frame_hashes(driver.output) == wanted
        assert_nothing_is_left(driver, nodes)
        assert {path.name for path in tmp_path.iterdir()} == {"log.txt", "restyled.mp4", "restyled.report.json"}
    nodes.stop()  # Ray takes the node that was away for dead
