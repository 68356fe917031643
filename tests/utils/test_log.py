"""Progress lines and log files."""

import io

import pytest
from absl import logging

from utils import log
from utils.errors import UserError


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(log.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_terminal_shows_rate_and_time_left_on_one_line(clock):
    stream = _Terminal()
    progress = log.Progress(100, stream=stream)
    progress.update(10)
    clock.now += 5.0
    progress.update(20, miou=0.51234, loss=None)
    last = stream.getvalue().split("\r")[-1]
    assert "20/100 images" in last
    assert "20 %" in last
    assert "2.00 images/s" in last
    assert "0:40 left" in last
    assert "miou 0.5123" in last
    assert "loss" not in last
    assert "\n" not in stream.getvalue()
    progress.close()
    assert stream.getvalue().endswith("\n")


def test_a_terminal_is_not_redrawn_for_every_update(clock):
    stream = _Terminal()
    progress = log.Progress(1000, stream=stream)
    for done in range(1, 101):
        clock.now += 0.001
        progress.update(done)
    assert stream.getvalue().count("\r") <= 2
    progress.close()
    assert "100/1000" in stream.getvalue().split("\r")[-1]


def test_a_file_gets_plain_lines_now_and_then(clock):
    stream = io.StringIO()
    progress = log.Progress(400, "steps", initial=100, stream=stream)
    for done in range(101, 201):
        clock.now += 1.0
        progress.update(done)
    assert "\r" not in stream.getvalue()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "1.00 steps/s" in lines[0]
    progress.close()
    progress.close()
    assert len(stream.getvalue().splitlines()) == 4


def test_the_last_line_says_how_long_it_took(clock):
    stream = io.StringIO()
    progress = log.Progress(8, stream=stream)
    clock.now += 4.0
    progress.update(8)
    progress.close()
    assert stream.getvalue() == "8/8 images  100 %  2.00 images/s  0:04 in all\n"


def test_an_unknown_total_has_no_time_left(clock):
    stream = io.StringIO()
    progress = log.Progress(None, stream=stream)
    progress.update(1)
    clock.now += 10.0
    progress.update(21)
    progress.close()
    assert stream.getvalue() == "21 images  2.00 images/s\n"


def test_messages_erase_the_progress_line_first(clock, capsys):
    stream = _Terminal()
    progress = log.Progress(10, stream=stream)
    progress.update(1)
    drawn = stream.getvalue()
    log.message("hello")
    assert stream.getvalue() != drawn
    assert stream.getvalue().endswith("\r\x1b[K")
    progress.update(2)
    logging.warning("careful")
    assert stream.getvalue().endswith("\r\x1b[K")
    progress.close()
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (3725, "1:02:05")]
)
def test_durations_read_like_a_clock(seconds, text):
    assert log.duration(seconds) == text


def test_a_run_log_is_appended_and_shown(tmp_path, capsys):
    path = tmp_path / "run" / "training.log"
    log.RunLog(str(path)).line("one")
    again = log.RunLog(str(path))
    again.line("zwei: ä")
    again.line("hidden", show=False)
    assert path.read_text(encoding="utf-8") == "one\nzwei: ä\nhidden\n"
    assert capsys.readouterr().out == "one\nzwei: ä\n"


def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"training\.log"):
        log.RunLog(str(tmp_path / "file" / "training.log"))
