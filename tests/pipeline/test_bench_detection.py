"""The drawn trials of the bench: their truth is true, and detectors can be compared on them."""

import numpy as np

from alignment.detectors import FaceDetector, build_detector
from alignment.faces import Face
from alignment.trials import Trial
from pipeline.bench.quality.detection import SIZE_WH, detection_table, drawn_trials, faceless_views, score_detectors


class Knowing(FaceDetector):
    """Knows the truth of some trials by their first pixels."""

    name = "knowing"

    def __init__(self, trials: list[Trial]) -> None:
        self._truth = {trial.picture.tobytes(): trial.faces for trial in trials}

    def detect(self, frame: np.ndarray) -> list[Face]:  # type: ignore[type-arg]
        return [Face(face.box_xyxy, face.points, 0.9) for face in self._truth.get(frame.tobytes(), ())]


def test_who_knows_the_truth_finds_every_face_and_nothing_else() -> None:
    views = faceless_views()
    knowing = Knowing(drawn_trials(6, views))
    figures = score_detectors({"knowing": knowing}, num_trials=6, views_each=1)["knowing"]
    assert all(figures.recall(group) == 100 for group in figures.present)
    assert (figures.false_positives, figures.strays, figures.num_empty) == (0, 0, len(views))
    assert figures.points_percent() == 0


def test_a_detector_finds_the_large_upright_faces_where_the_truth_says_they_are() -> None:
    figures = score_detectors({"hog": build_detector("hog")}, num_trials=8, views_each=1)["hog"]
    assert figures.recall("96-320 px") == 100


def test_views_are_of_one_size_and_differ() -> None:
    view = faceless_views()[0]
    one, other = view(np.random.default_rng(0)), view(np.random.default_rng(1))
    assert one.shape == other.shape == (SIZE_WH[1], SIZE_WH[0], 3)
    assert (one != other).any()


def test_the_table_leaves_out_what_is_not_here() -> None:
    header = detection_table(("hog", "sfd"), num_trials=1).splitlines()[0]
    assert header == "| faces | n | hog |"
