"""The comparison of an artefact with the checkpoint."""

import contextlib

import numpy as np
import pytest

from core.export import check
from core.export.artifact import Artifact, Tolerance
from utils.errors import UserError

LABELS = np.array([[0, 1], [1, 0]], np.int32)
PROBABILITIES = np.full([2, 2, 2], 0.5, np.float32)
NEAR = Tolerance(0.1, 0.9)
CASE = check.Case(np.zeros([2, 2, 3], np.uint8), (2, 2), LABELS, PROBABILITIES)


def artifact(labels=LABELS, probabilities=PROBABILITIES, tolerance=NEAR):
    @contextlib.contextmanager
    def opened():
        yield lambda image: (labels, probabilities)

    return Artifact("some", "path", tolerance, opened, {}, {})


def test_equal_results_agree():
    examined = check.examine(artifact(), [CASE, CASE])
    assert examined["check"]["label_agreement"] == 1.0
    assert examined["check"]["max_difference"] == 0.0
    assert examined["latency"]["runs"] == 5


def test_padding_is_not_compared():
    half = check.Case(CASE.image, (1, 2), LABELS, PROBABILITIES)
    labels, probabilities = LABELS.copy(), PROBABILITIES.copy()
    labels[1], probabilities[1] = 7, 0
    assert check.examine(artifact(labels, probabilities), [half])["check"]["label_agreement"] == 1.0
    with pytest.raises(UserError, match=r"0\.5, at most 0\.1; equal labels 50\.000%, at least 90"):
        check.examine(artifact(labels, probabilities), [CASE])


def test_not_a_number_is_never_within_a_tolerance():
    with pytest.raises(UserError, match="nan"):
        check.examine(artifact(probabilities=PROBABILITIES * np.nan), [CASE])


def test_another_size_is_an_error():
    with pytest.raises(UserError, match=r"\(1, 2\) and \(2, 2, 2\)"):
        check.examine(artifact(labels=LABELS[:1]), [CASE])


def test_the_share_of_labels_alone_decides_without_a_difference():
    other = artifact(probabilities=PROBABILITIES + 0.4, tolerance=Tolerance(None, 0.9))
    assert check.examine(other, [CASE])["check"]["allowed_difference"] is None
    with pytest.raises(UserError, match="lower --int8_label_agreement, leave"):
        check.examine(artifact(1 - LABELS, tolerance=Tolerance(None, 0.9)), [CASE])


def test_what_cannot_run_here_is_said_not_to_be_checked():
    om = Artifact("om", "path", Tolerance(0.1, 0.9), None, {}, {})
    assert check.examine(om, [CASE])["check"]["done"] is False


def test_a_slow_artefact_shows_how_far_its_check_is(monkeypatch, capsys):
    monkeypatch.setattr(check, "_SLOW_SECONDS", 0.0)
    check.examine(artifact(), [CASE] * 3)
    assert "3/3 images" in capsys.readouterr().err
