"""The benchmark of the training input: a command that works, on files of the stated size."""

import json
import os
import subprocess
import sys

from benchmarks import input_pipeline
from datasets.records import shards, tfrecord

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_files_have_the_size_of_those_of_pascal_voc(tmp_path):
    index = shards.index(input_pipeline.make_records(str(tmp_path), 2), "train")
    for number in range(2):
        record = tfrecord.deserialize(index.read(number))
        assert (record.height, record.width) == (375, 500)
        assert 60000 < len(record.image) <= 71000
        assert 1000 < len(record.label) < 12000


def test_the_command_prints_and_writes_what_it_measured(tmp_path):
    path = tmp_path / "input.json"
    arguments = ["--cores=1", "--images=2", "--batches=1", "--repetitions=1", "--epochs=1"]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.input_pipeline", *arguments, f"--json_path={path}"],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    found = json.loads(path.read_text())
    names = [row["name"] for row in found["rows"]]
    assert names[:2] == ["pipeline, 1 core(s)", "decode alone, 1 core(s)"]
    assert all(row["median"] > 0 for row in found["rows"])
    assert found["rows"][0]["besides"]["memory above start mb"] > 0
    assert [row["name"] for row in found["ratios"]] == [" / ".join(names[:2])]
    assert "share %" in result.stdout.decode()
