"""`seg.py lr_find`: what it writes, and what it leaves alone."""

import json
import sys

import numpy as np
import pytest

from core.training import rate_chart
from core.training.rate_curve import RateCurve
from options.lr_find import LrFindOptions
from tests import in_process, small_data
from utils.errors import UserError


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return small_data.make_records(tmp_path_factory.mktemp("data"), train=4, val=2)


def _find(records, folder, *more):
    return in_process.run(
        "lr_find",
        f"--dataset_dir={records}",
        f"--output_dir={folder}",
        *("--model_variant=mobilenet_v2", "--depth_multiplier=0.1", "--aspp_convs_filters=4"),
        *("--train_crop_size=33,33", "--train_batch_size=2", "--device=cpu"),
        *more,
    )


@pytest.mark.usefixtures("shallow_mobilenet")
def test_a_search_writes_its_curve_even_without_a_picture(records, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    options = ("--find_epochs=3", "--start_lr=0.001", "--end_lr=0.1")
    assert _find(records, tmp_path, *options, "--optimizer=adam", "--seed=3") == 1
    assert "requirements/plot.txt" in capsys.readouterr().err
    content = json.loads((tmp_path / "lr_find.json").read_text())
    expected = 0.001 * 100 ** (np.arange(6) / 6)
    np.testing.assert_allclose(content["rates"], expected, rtol=1e-6)
    assert len(set(content["losses"])) == 6
    assert content["options"]["train"]["seed"] == 3
    assert len((tmp_path / "lr_find.csv").read_text().splitlines()) == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr_find.csv", "lr_find.json"]


@pytest.mark.once
@pytest.mark.usefixtures("shallow_mobilenet")
def test_a_search_stops_when_the_loss_explodes(records, tmp_path):
    options = ("--find_steps=40", "--start_lr=1", "--end_lr=1e8", "--nopicture")
    assert _find(records, tmp_path, *options) == 0
    content = json.loads((tmp_path / "lr_find.json").read_text())
    assert content["steps"] < 40
    assert content["stopped"]


@pytest.mark.once
def test_the_folder_of_a_run_is_refused_and_left_as_it_is(records, tmp_path, capsys):
    (tmp_path / "options.json").write_text("{}")
    assert _find(records, tmp_path) == 2
    assert "folder of a run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["options.json"]


CURVE = RateCurve(tuple(10.0**-place for place in range(6, 0, -1)), (3, 2.9, 2, 1, 1, 5), None, 1)


def test_the_picture_is_drawn_by_matplotlib(tmp_path):
    pytest.importorskip("matplotlib", reason="requirements/plot.txt is not installed")
    path = tmp_path / "a.png"
    options = LrFindOptions(n_skip_beginning=0, n_skip_end=1, y_lim=(-1.0, 1.0))
    rate_chart.draw(CURVE, options, str(path))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_no_step_is_refused(tmp_path):
    pytest.importorskip("matplotlib", reason="requirements/plot.txt is not installed")
    with pytest.raises(UserError, match="--n_skip_beginning=4 and --n_skip_end=5"):
        rate_chart.draw(CURVE, LrFindOptions(n_skip_beginning=4), str(tmp_path / "a.png"))
