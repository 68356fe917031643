"""Downloads, from a server on this machine."""

import hashlib
import http.server
import re
import threading

import pytest
from absl import flags

import common
from datasets import downloads, fetch
from options.data_tools import FetchOptions
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.once

CONTENT = bytes(range(256)) * 12000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; what the server's attributes say goes wrong."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if self.path != "/file.tar":
            self.send_error(404)
            return
        match = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        begin = int(match.group(1)) if match and server.knows_ranges else 0
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if match and server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        end = begin + server.breaks_after if server.breaks_after else len(CONTENT)
        self.wfile.write(CONTENT[begin:end])
        server.breaks_after = None if server.breaks_once else server.breaks_after

    def log_message(self, *unused):
        pass


@pytest.fixture
def server():
    found = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    found.ranges, found.knows_ranges = [], True
    found.breaks_after, found.breaks_once = None, True
    thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def download(server, md5=None, name="file.tar"):
    expected = hashlib.md5(CONTENT).hexdigest() if md5 is None else md5
    return downloads.Download(f"http://127.0.0.1:{server.server_port}/{name}", "3 MB", expected)


@pytest.fixture
def options(tmp_path):
    return FetchOptions(download_dir=str(tmp_path / "downloads"))


def test_a_file_is_downloaded_once(server, options):
    path = fetch.fetch(download(server), options)
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    assert fetch.fetch(download(server), options) == path
    assert server.ranges == [None]


def test_a_broken_connection_is_continued_where_it_ended(server, options):
    server.breaks_after = 1_500_000
    path = fetch.fetch(download(server), options)
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    assert server.ranges == [None, "bytes=1500000-"]


def test_an_interrupted_download_goes_on_with_the_next_command(server, options, tmp_path):
    server.breaks_after, server.breaks_once = 1_000_000, False
    once = FetchOptions(download_dir=options.download_dir, attempts=1)
    with pytest.raises(UserError, match="could not be read to the end .*run the same command aga"):
        fetch.fetch(download(server), once)
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["file.tar.part"]
    server.breaks_after = None
    fetch.fetch(download(server), once)
    assert server.ranges[1] == "bytes=1000000-"
    # Everything is there, only the name is not.
    (tmp_path / "downloads" / "file.tar").rename(tmp_path / "downloads" / "file.tar.part")
    fetch.fetch(download(server), once)
    assert (tmp_path / "downloads" / "file.tar").read_bytes() == CONTENT


def test_a_server_that_cannot_continue_sends_everything_again(server, options, tmp_path):
    server.knows_ranges, server.breaks_after = False, 1_500_000
    fetch.fetch(download(server), options)
    assert (tmp_path / "downloads" / "file.tar").read_bytes() == CONTENT


def test_another_file_than_expected_does_not_get_the_name(server, options, tmp_path):
    with pytest.raises(UserError, match="is not the expected file .its MD5 is not 00"):
        fetch.fetch(download(server, md5="00"), options)
    assert list((tmp_path / "downloads").iterdir()) == []
    (tmp_path / "downloads" / "file.tar").write_text("other")
    with pytest.raises(UserError, match="file.tar is not the file of http.*; move it away"):
        fetch.fetch(download(server), options)


def test_what_is_not_there_is_named(server, options):
    with pytest.raises(UserError, match="other.tar cannot be downloaded: HTTP Error 404"):
        fetch.fetch(download(server, name="other.tar"), options)
    assert len(server.ranges) == 1


def test_data_behind_a_login_are_explained():
    with pytest.raises(OptionError, match="cityscapes cannot be downloaded here: www.cityscapes"):
        fetch.find("cityscapes")
    with pytest.raises(OptionError, match="voc is not known; known: list, voc2012, sbd, coco2017"):
        fetch.find("voc")
    assert [found.file_name for found in fetch.find("voc2012")] == ["VOCtrainval_11-May-2012.tar"]
    assert "voc2012                  http://host.robots.ox.ac.uk" in fetch._listing()


def test_the_list_takes_no_flags():
    flag_values = flags.FlagValues()
    common.define_flags(FetchOptions, flag_values=flag_values)
    flag_values(["fetch", "--attempts=3"])
    with pytest.raises(OptionError, match="--attempts has no effect with list"):
        fetch.main(flag_values, "list")
