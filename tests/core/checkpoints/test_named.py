"""Weights by name: where they are searched, and what is said if they are not there."""

import pathlib
import subprocess
import sys

import pytest

import common
from core.checkpoints import named
from options.training import TrainOptions
from utils.errors import OptionError

ROOT = pathlib.Path(common.__file__).parent

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Makes the folders of the project, the flag and the variable; returns the latter two."""
    for name in ("shipped", "flag", "variable"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(named, "SHIPPED", str(tmp_path / "shipped"))
    monkeypatch.setenv(named.VARIABLE, str(tmp_path / "variable"))
    return tmp_path


def _found(init, folder=None, variant="resnet34_preact"):
    options = TrainOptions(init=init, weights_dir=None if folder is None else str(folder))
    return named.initial_weights(options, variant)


def _fill(folder, *names):
    for name in names:
        (folder / name).write_text("")


def test_a_data_set_stands_for_the_backbone_and_itself(folders):
    _fill(folders / "variable", "resnet34_preact_imagenet.h5", "resnet34_preact_pascal_voc.pth")
    assert _found("imagenet") == str(folders / "variable" / "resnet34_preact_imagenet.h5")
    assert _found("pascal_voc") == str(folders / "variable" / "resnet34_preact_pascal_voc.pth")
    with pytest.raises(OptionError, match=r"wants resnet34_preact_coco_voc\.\*"):
        _found("coco_voc")


def test_a_checkpoint_is_named_by_its_prefix_and_notes_beside_it_do_not_count(folders):
    names = ("mine.index", "mine.data-00000-of-00001", "mine.txt", "mine.json", "mine2.h5")
    _fill(folders / "flag", *names)
    assert _found("mine", folders / "flag") == str(folders / "flag" / "mine")


def test_shipped_weights_come_first_and_the_flag_stands_for_the_variable(folders):
    for name in ("shipped", "flag", "variable"):
        _fill(folders / name, f"{name}.pth", "all.pth")
    assert _found("all", folders / "flag") == str(folders / "shipped" / "all.pth")
    assert _found("flag", folders / "flag") == str(folders / "flag" / "flag.pth")
    assert _found("variable") == str(folders / "variable" / "variable.pth")
    with pytest.raises(OptionError, match=r"variable\.\* .*shipped or .*flag;"):
        _found("variable", folders / "flag")


def test_random_and_no_name_leave_the_choice_to_the_other_flag():
    assert _found("random") is None
    assert _found(None) is None
    options = TrainOptions(tf_initial_checkpoint="model.ckpt")
    assert named.initial_weights(options, "mobilenet_v2") == "model.ckpt"


def test_a_path_and_a_name_of_two_files_are_refused(folders):
    with pytest.raises(OptionError, match="--tf_initial_checkpoint=folder/mine"):
        _found("folder/mine")
    _fill(folders / "flag", "mine.pth", "mine.index")
    with pytest.raises(OptionError, match=r"mine or .*mine\.pth"):
        _found("mine", folders / "flag")


def test_flags_that_contradict_each_other_are_refused():
    with pytest.raises(OptionError, match="--init=imagenet and --tf_initial_checkpoint=model.ckpt"):
        TrainOptions(init="imagenet", tf_initial_checkpoint="model.ckpt")
    with pytest.raises(OptionError, match="--weights_dir=here has no effect without --init"):
        TrainOptions(weights_dir="here")


def test_a_name_without_a_file_is_refused_before_tensorflow_is_loaded(tmp_path):
    arguments = ("--model_variant=resnet34_preact", "--init=coco_voc", "--dataset_dir=none")
    code = (
        "import sys\n"
        "from commands import running\n"
        "try: running.start('train')\n"
        "finally: print('tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments, f"--train_logdir={tmp_path / 'run'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2, result.stderr
    assert "wants resnet34_preact_coco_voc.*" in result.stderr
    assert result.stdout.strip() == "False"
