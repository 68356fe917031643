"""The rules give the check values of the golden README, and the command finds its way."""

import json

import numpy as np
import pytest

from tests.golden import __main__ as golden
from tests.golden import compare, rules
from utils.errors import UserError


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        (
            "resnet_v1_50/conv1/weights",
            (7, 7, 3, 64),
            (0.01794244, -0.04204749, 0.07236202, 0.1096843),
        ),
        (
            "logits/semantic/weights",
            (1, 1, 256, 21),
            (0.07740558, 0.2581756, -0.01455386, 0.5263219),
        ),
        (
            "MobilenetV2/expanded_conv/depthwise/depthwise_weights",
            (3, 3, 32, 1),
            (0.819388, -0.5614141, 0.3011696, 0.0005574186),
        ),
        (
            "resnet_v1_50/block1/unit_1/bottleneck_v1/conv3/BatchNorm/gamma",
            (256,),
            (0.2992721, 0.2450644, 0.2269426, 0.2221262),
        ),
        (
            "resnet_v1_50/conv1/BatchNorm/moving_mean",
            (64,),
            (-2.37266, -4.503704, 8.891232, 8.017301),
        ),
        (
            "resnet_v1_50/conv1/BatchNorm/moving_variance",
            (64,),
            (4183.083, 4568.347, 4119.054, 4324.927),
        ),
    ],
)
def test_weights_have_the_published_values(name, shape, expected):
    value = rules.variable_value(name, shape)
    assert value.dtype == np.float32
    assert value.shape == shape
    np.testing.assert_allclose(value.flat[:4], expected, rtol=1e-6)


def test_images_and_labels_have_the_published_values():
    noise, tinted = rules.noise_image(1, 97, 97), rules.tinted_image(21, 97, 97)
    assert (list(noise.flat[:4]), noise.sum()) == ([41, 249, 135, 33], 3610466)
    assert (list(tinted.flat[:4]), tinted.sum()) == ([101, 124, 78, 81], 3997507)
    assert rules.label_map(31, 97, 97).sum() == 366860


def test_other_variables_keep_their_zero():
    assert rules.variable_value("global_step", ()) is None
    assert rules.variable_value("conv1/weights/Momentum", (1, 1, 3, 2)) is None


def test_a_salt_gives_other_weights():
    first, second = (rules.variable_value("a/weights", (1, 1, 3, 2), salt) for salt in ("", "b"))
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"config": {"variant": "resnet_v1_18"}}, "logits"),
        ({"config": {"train": {}}}, "train"),
        ({"labels_rule": "", "cases": []}, "losses"),
        ({"steps": [], "cases": []}, "schedules"),
    ],
)
def test_the_form_of_a_manifest_is_found_by_its_content(manifest, expected, tmp_path):
    assert golden.form(manifest, tmp_path / "manifest.json") == expected


def test_the_form_of_another_system_s_manifest_is_found_by_its_folders(tmp_path, monkeypatch):
    (tmp_path / "forms" / "abc").mkdir(parents=True)
    (tmp_path / "forms" / "abc" / "train.py").touch()
    monkeypatch.setattr(golden, "HERE", tmp_path / "forms")
    assert golden.form({}, tmp_path / "abc" / "train" / "manifest.json") == "abc.train"
    with pytest.raises(UserError, match="has no known form"):
        golden.form({}, tmp_path / "abc" / "logits" / "manifest.json")


def test_a_file_of_another_form_is_refused_with_a_sentence(tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"colours": []}))
    with pytest.raises(UserError, match="has no known form"):
        golden.form(golden.read(path), path)
    assert golden.main([str(path), str(tmp_path / "out.npz")]) == 1
    assert "no known form" in capsys.readouterr().err
    assert golden.main([str(path)]) == 2


def test_the_table_says_what_cannot_be_compared():
    actual = {"same": np.ones(3), "new": np.ones(1), "other": np.ones(2)}
    expected = {"same": np.ones(3) * 2.0, "old": np.ones(1), "other": np.ones(3)}
    lines = compare.table(actual, expected).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["new", "old", "other", "same"]
    assert "is not stored" in lines[0]
    assert "was not recomputed" in lines[1]
    assert "has shape (2,), stored is (3,)" in lines[2]
    assert lines[3].split()[1:] == ["1", "0.5", "0.000%"]
