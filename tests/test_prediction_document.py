"""Runs the Python of docs/prediction.md as it stands there."""

import pathlib
import re

from tests.small_data import pixels, save_image

ROOT = pathlib.Path(__file__).parent.parent


def test_the_lines_of_python_in_the_document_run(tmp_path, capsys):
    text = (ROOT / "docs" / "prediction.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    save_image(tmp_path / "street.jpg", pixels(0, 90, 120))
    code = code.replace("docs/results/camvid", str(ROOT / "docs" / "results" / "camvid"))
    exec(code.replace("street.jpg", str(tmp_path / "street.jpg")), {})
    labels, probabilities, name = capsys.readouterr().out.splitlines()
    assert labels == "(90, 120)"
    assert probabilities == "(90, 120, 11)"
    assert name in ("Sky", "Building", "Road", "Tree", "Pavement", "Fence", "Car", "Bicyclist")
