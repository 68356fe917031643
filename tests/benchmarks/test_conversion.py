"""The conversion's benchmark: files like VOC's, and a command that works."""

import json
import os
import subprocess
import sys

from PIL import Image

from benchmarks import conversion

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_the_command_prints_and_writes_what_it_measured(tmp_path):
    command = [sys.executable, "-m", "benchmarks.conversion", "--num_images=60"]
    options = ["--repetitions=1", "--num_workers=2", f"--json_path={tmp_path / 'figures.json'}"]
    result = subprocess.run([*command, *options], stdout=subprocess.PIPE, check=True, cwd=ROOT)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["options"]["num_images"] == 60
    assert [row["name"] for row in figures["rows"]] == ["convert", "bound", "copy"]
    of_bound, of_copy = [row["median"] for row in figures["ratios"]]
    assert 0 < of_copy < of_bound
    assert "| convert / copy | ratio |" in result.stdout.decode()


def test_files_are_of_voc_s_size_and_kind(tmp_path):
    image_kb, mask_kb = conversion.make_files(str(tmp_path), conversion._DISTINCT)
    assert 60 < image_kb < 90
    assert 2 < mask_kb < 8
    image, mask = conversion._paths(str(tmp_path), "2012_000000")
    assert Image.open(image).size == (500, 375)
    assert Image.open(mask).mode == "P"
