"""Many photos: in order, beside each other, and not stopped by a bad one."""

import threading

import numpy as np
import pytest

from core.inference import pipeline
from utils.errors import UserError


class Bad(Exception):
    pass


def _image(number):
    return np.full([number + 1, 2, 3], number, np.uint8)


def test_photos_are_written_in_their_order_in_another_thread():
    written, threads = [], set()

    def write(item, image, result):
        threads.add(threading.get_ident())
        written.append((item, image[0, 0, 0], result))

    outcome = pipeline.run(
        range(12), read=_image, segment=lambda image: int(image.sum()), write=write
    )
    assert written == [(n, n, n * (n + 1) * 6) for n in range(12)]
    assert outcome.done == tuple((n, (n + 1, 2)) for n in range(12))
    assert outcome.failed == ()
    assert threads
    assert threading.get_ident() not in threads


def test_a_bad_photo_does_not_stop_the_others():
    def read(number):
        if number % 3 == 0:
            raise Bad(f"{number} is bad")
        return _image(number)

    def segment(image):
        if image[0, 0, 0] == 5:
            raise MemoryError
        return None

    written = []
    outcome = pipeline.run(
        range(7),
        read=read,
        segment=segment,
        write=lambda item, *unused: written.append(item),
        bad_photo=(Bad,),
    )
    assert written == [1, 2, 4]
    assert [item for item, _ in outcome.failed] == [0, 3, 5, 6]
    assert outcome.failed[0][1] == "0 is bad"
    assert "memory for an image of 6x2 pixels" in outcome.failed[2][1]


def test_what_cannot_be_written_stops_the_run():
    def write(item, *unused):
        if item == 4:
            raise UserError("disk full")

    read = []
    with pytest.raises(UserError, match="disk full"):
        pipeline.run(
            range(100),
            read=lambda number: read.append(number) or _image(0),
            segment=lambda image: None,
            write=write,
        )
    assert len(read) < 20
