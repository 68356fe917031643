"""The table of parameters and multiplications: its figures, and that the page has them."""

import pathlib

import pytest

import common
from benchmarks import network_costs
from benchmarks.network_costs import Case
from core import network

pytestmark = pytest.mark.once

_PAGE = pathlib.Path(common.__file__).resolve().parent / "docs" / "networks.md"


def test_a_row_has_the_published_parameters_and_the_multiplications_of_the_golden_numbers():
    assert network_costs.cost(Case("fcn", "resnet101_torch", 8, 520)) == (51949141, 222746867200)


def test_every_case_is_a_network_with_a_row_on_the_page():
    text = _PAGE.read_text(encoding="utf-8")
    for case in network_costs.CASES:
        assert case.architecture in network.ARCHITECTURES
        start = f"| `{case.architecture}` | `{case.backbone}` | {case.output_stride} "
        assert f"{start}| {case.side}x{case.side} |" in text
