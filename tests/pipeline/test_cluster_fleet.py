"""How many actors a fleet starts, and where. Ray itself is not asked."""

import pytest

pytest.importorskip("ray")

from pipeline.cluster.fleet import Fleet, Node, Seat
from pipeline.settings import ConvertSettings

HERE, THERE = Node("a", "here", 4, 0), Node("b", "there", 4, 0)


@pytest.fixture(autouse=True)
def no_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fleet, "_start", lambda self, node, nodes: Seat(node, None, None))


def fleet_of(parallel: int | None) -> Fleet:
    return Fleet(ConvertSettings(parallel=parallel, threads=1), {})


def nodes_of(fleet: Fleet) -> list[Node]:
    return [seat.node for seat in fleet.seats]


def test_an_actor_of_the_last_video_counts_while_its_node_is_still_examined() -> None:
    fleet = fleet_of(1)
    fleet.fill([HERE, THERE], most=9)
    # When the next video begins, and the other node was examined first
    fleet.fill([THERE], most=9)
    assert nodes_of(fleet) == [HERE]


def test_an_actor_on_a_node_that_is_unfit_for_this_video_does_not_count() -> None:
    fleet = fleet_of(1)
    fleet.fill([HERE], most=9)
    fleet.fill([THERE], most=9, unfit={HERE.id})
    assert nodes_of(fleet) == [HERE, THERE]


def test_no_more_start_than_have_something_to_do() -> None:
    fleet = fleet_of(None)
    fleet.fill([HERE, THERE], most=3)
    assert [nodes_of(fleet).count(node) for node in (HERE, THERE)] == [2, 1]
