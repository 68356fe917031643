import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import common
from datasets.convert import writing
from tests.converting import convert, read_records
from tests.small_data import labels, make_voc, save_mask
from utils.errors import UserError

ROOT = os.path.dirname(os.path.abspath(common.__file__))


@pytest.fixture
def forked(monkeypatch):
    """Lets small conversions use processes too."""
    monkeypatch.setattr(writing, "_SAMPLES_PER_PROCESS", 1)


def content_of(folder):
    return {
        name: (folder / name).read_bytes() for name in sorted(os.listdir(folder)) if "-of-" in name
    }


def test_processes_write_the_same_files_as_one(tmp_path, forked):
    options = make_voc(tmp_path, train=9, val=3)
    convert("pascal_voc", options, num_workers=1)
    convert("pascal_voc", options, num_workers=3, output_dir=str(tmp_path / "again"))
    assert content_of(tmp_path / "records") == content_of(tmp_path / "again")
    names = [record.name for record in read_records(tmp_path / "again", "train")]
    assert names == [f"train_{number}" for number in range(9)]


def test_bad_files_are_collected_over_processes(tmp_path, forked):
    options = make_voc(tmp_path, train=8)
    for number in (1, 6):
        save_mask(tmp_path / "Masks" / f"train_{number}.png", np.full([20, 31], 9, np.uint8))
    with pytest.raises(UserError, match="2 files cannot be used:\n.*train_1.png.*\n.*train_6.png"):
        convert("pascal_voc", options, num_workers=2)
    assert not (tmp_path / "records").exists()


def test_a_worker_that_dies_is_told(tmp_path, forked, monkeypatch):
    options = make_voc(tmp_path, train=8)
    monkeypatch.setattr(writing, "_read", lambda *unused: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(UserError, match="a worker process ended unexpectedly"):
        convert("pascal_voc", options, num_workers=2)
    assert not (tmp_path / "records").exists()


def test_a_mistake_in_a_worker_is_no_sentence_but_a_traceback(tmp_path, forked, monkeypatch):
    options = make_voc(tmp_path, train=8)
    monkeypatch.setattr(writing, "_read", lambda *unused: 1 // 0)
    with pytest.raises(RuntimeError, match="in a worker process:\n(?s:.*)ZeroDivisionError"):
        convert("pascal_voc", options, num_workers=2)


def test_a_turned_image_with_a_mask_of_the_unturned_one_is_named(tmp_path):
    options = make_voc(tmp_path, train=1)
    path = tmp_path / "Images" / "train_0.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    with pytest.raises(UserError, match="the mask was drawn on the image without its EXIF"):
        convert("pascal_voc", options)
    save_mask(tmp_path / "Masks" / "train_0.png", labels(0, 31, 20))
    convert("pascal_voc", options)
    (record,) = read_records(tmp_path / "records", "train")
    assert (record.height, record.width, record.image_format) == (31, 20, "png")


@pytest.mark.once
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_ended_command_leaves_nothing_that_looks_complete(tmp_path, number):
    options = make_voc(tmp_path, train=14, val=14, a=14, b=14, c=14)
    code = (
        "import runpy, time; from datasets.convert import writing; read = writing._read\n"
        "writing._read = lambda *a: (time.sleep(0.05), read(*a))[1]\n"
        "runpy.run_module('datasets.convert', run_name='__main__', alter_sys=True)"
    )
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-c", code, "pascal_voc", *flags, "--num_workers=2"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    records = tmp_path / "records"
    until = time.monotonic() + 60
    while not list(records.glob(".converting-*/*")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert not list(records.glob("*-of-*"))
    if number == signal.SIGTERM:
        assert process.returncode == 128 + signal.SIGTERM
        assert not records.exists()
    # What a killed one left is removed by the next; its workers have ended by themselves.
    convert("pascal_voc", options, num_workers=2)
    assert not list(records.glob(".converting-*"))
    assert len(read_records(records, "train")) == 14
