"""What a user reads of an error."""

import pytest

from utils.compat import tf
from utils.errors import reason_of

IN_2_21 = """Graph execution error:

Detected at node 'DecodeJpeg' defined at (most recent call last):
    File "photos.py", line 46, in __init__
Node: 'DecodeJpeg'
Invalid JPEG data.
\t [[{{node DecodeJpeg}}]]
"""


@pytest.mark.parametrize(
    ("message", "reason"),
    [(IN_2_21, "Invalid JPEG data."), ("bad magic\nmore", "bad magic"), ("", "ValueError")],
)
def test_the_line_that_says_what_is_wrong_is_found(message, reason):
    assert reason_of(ValueError(message)) == reason


def test_the_reason_of_a_session_is_found_on_every_tensorflow():
    with tf.Graph().as_default(), tf.Session() as session:
        decoded = tf.image.decode_jpeg(b"\xff\xd8\xff")
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            session.run(decoded)
    assert "Invalid JPEG data" in reason_of(error.value)
