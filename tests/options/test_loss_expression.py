"""Loss expressions: what they mean, and where a wrong one is wrong."""

import pytest

from options import loss_expression
from options.loss import LossOptions
from utils.errors import OptionError

pytestmark = pytest.mark.once


def weights(text, output=None):
    """Returns (name, weight) of the terms of an output."""
    terms = loss_expression.parse(text).of_output(output)
    return [(term.call.name, pytest.approx(term.weight)) for term in terms]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dice", [("dice", 1)]),
        (" dice ", [("dice", 1)]),
        ("iou+0.1*dice", [("iou", 1), ("dice", 0.1)]),
        ("iou + .5 * dice", [("iou", 1), ("dice", 0.5)]),
        ("dice*0.25+iou", [("dice", 0.25), ("iou", 1)]),
        ("2*3*dice", [("dice", 6)]),
        ("iou+1e-3*dice", [("iou", 1), ("dice", 1e-3)]),
        ("iou+1e+1*dice", [("iou", 1), ("dice", 10)]),
        ("iou+2.E1*dice", [("iou", 1), ("dice", 20)]),
        ("iou-dice", [("iou", 1), ("dice", -1)]),
        ("iou+-0.5*dice", [("iou", 1), ("dice", -0.5)]),
        ("-iou+dice", [("iou", -1), ("dice", 1)]),
        ("iou-(dice-l2)", [("iou", 1), ("dice", -1), ("l2", 1)]),
        ("(0.1)*dice", [("dice", 0.1)]),
        ("0.5*(iou + 2*(dice+l2))*4", [("iou", 2), ("dice", 4), ("l2", 4)]),
        ("(1+2)*dice", [("dice", 3)]),
        ("iou+0*dice", [("iou", 1)]),
        ("binary_crossentropy+dice_loss", [("binary_cross_entropy", 1), ("dice", 1)]),
        ("musket.dice_loss", [("musket.dice_loss", 1)]),
    ],
)
def test_an_expression_is_a_list_of_losses_and_weights(text, expected):
    assert weights(text) == expected


def test_parameters_are_numbers_and_words():
    expression = loss_expression.parse("dice( smooth = 1e-3 ,over=image) + focal(gamma=-2) + l2()")
    assert [call.parameters for call in expression.calls] == [
        {"smooth": 1e-3, "over": "image"},
        {"gamma": -2.0},
        {},
    ]


def test_each_output_has_its_part_and_the_others_the_one_without_a_name():
    text = "iou; aux: 0.5*dice ; 0.50:l2"
    assert weights(text, "merged") == [("iou", 1)]
    assert weights(text, "aux") == [("dice", 0.5)]
    assert weights(text, "0.50") == [("l2", 1)]
    with pytest.raises(OptionError, match=r"no loss for the output merged"):
        weights("aux: dice", "merged")


@pytest.mark.parametrize(
    ("text", "problem", "column"),
    [
        ("iou+", "expected a loss or a number, found the end", 4),
        ("iou++*dice", r"found '\*'", 5),
        ("iou+0,1*dice", "found ','", 5),
        ("iou dice", "expected an operator, found 'dice'", 4),
        ("iou+1e*dice", "found 'e'", 5),
        ("iou+1e999*dice", "1e999 is not finite", 4),
        ("1e30*1e30*dice", "not finite in float32", 4),
        ("iou + dice*l2", "multiplied with a loss", 10),
        ("iou+0.1", "a number without a loss", 4),
        ("0*iou", "all weights are 0", 2),
        ("iou+$dice", r"'\$' has no meaning", 4),
        ("0.5*(iou", r"expected '\)', found the end", 8),
        ("iou)", r"expected an operator, found '\)'", 3),
        ("dice(1)", "the name of a parameter", 5),
        ("dice(smooth)", "expected '='", 11),
        ("dice(smooth=)", "a number or a word", 12),
        ("dice(smooth=1 over=image)", r"expected ',' or '\)'", 14),
        ("dice(smooth=1,smooth=2)", "smooth is given twice", 14),
        ("iou; dice", "two parts name no output", 4),
        ("aux: iou; aux: dice", "the output aux stands twice", 9),
        (": iou", "an output's name is missing", 0),
        ("iou; aux:", "found the end", 9),
    ],
)
def test_a_wrong_expression_is_refused_with_its_place(text, problem, column):
    with pytest.raises(OptionError, match=problem) as caught:
        LossOptions(loss=text)
    _, shown, mark = str(caught.value).splitlines()
    assert shown == f"  {text}"
    assert mark == " " * (2 + column) + "^"


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("binary_crossentropy", "musket.binary_crossentropy"),
        (
            "binary_crossentropy + 1e-1*dice_loss",
            "musket.binary_crossentropy + 1e-1*musket.dice_loss",
        ),
        ("lovasz_loss", "musket.lovasz_loss"),
        (
            "dice_loss+lovasz_loss",
            "musket.dice_loss+musket.lovasz_loss_of_probabilities",
        ),
        ("mse+0.1*f1_loss", "keras.MeanSquaredError+0.1*musket.f1_loss"),
    ],
)
def test_a_file_of_the_keras_pipeline_means_the_exact_forms(text, exact):
    assert loss_expression.of_musket(text) == exact


def test_what_is_no_loss_of_the_keras_pipeline_is_refused_with_its_place():
    with pytest.raises(OptionError, match=r"tversky is no loss.*dice_loss") as caught:
        loss_expression.of_musket("dice_loss+tversky")
    assert str(caught.value).splitlines()[-1] == " " * 12 + "^"
