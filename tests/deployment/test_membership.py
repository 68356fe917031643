import pytest

from deployment import membership
from utils.errors import UserError

TWO = {"DEEPLAB_ADDRESSES": "10.0.0.1:7000,10.0.0.2:7000"}


def test_a_process_that_nobody_launched_is_alone():
    assert membership.from_environment({"PATH": "x"}) == membership.Membership(0, 1)


def test_the_launchers_variables_name_all_ranks():
    found = membership.from_environment({**TWO, "DEEPLAB_RANK": "1", "DEEPLAB_LOCAL_RANK": "0"})
    assert (found.rank, found.ranks) == (1, 2)
    assert found.addresses == ("10.0.0.1:7000", "10.0.0.2:7000")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (TWO, "DEEPLAB_RANK is '', but must be a number"),
        ({**TWO, "DEEPLAB_RANK": "2"}, "DEEPLAB_RANK is 2, but DEEPLAB_ADDRESSES names 2 ranks"),
        ({"DEEPLAB_ADDRESSES": "a", "DEEPLAB_RANK": "0"}, "holds 'a', but must be the HOST:PORT"),
    ],
)
def test_variables_that_do_not_fit_are_refused(variables, message):
    with pytest.raises(UserError, match=message):
        membership.from_environment(variables)
