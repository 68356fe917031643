"""Rank tables: both layouts, every rule, and the command."""

import copy
import json
import pathlib
import subprocess
import sys

import pytest
from absl import flags

import common
from deployment import rank_table, rank_table_rules
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.once

ROOT = pathlib.Path(rank_table.__file__).parent.parent
SHIPPED = ROOT / "scripts" / "8p.json"


def legacy():
    return json.loads(SHIPPED.read_text())


def version_1(devices=2, servers=1):
    addresses = {number: f"192.168.1.{number}" for number in range(devices)}
    chosen = [
        (f"10.0.0.{index}", {n: ip.replace(".1.", f".{index}.") for n, ip in addresses.items()})
        for index in range(1, servers + 1)
    ]
    table = rank_table.make(chosen, range(devices))
    return rank_table.render(table, rank_table.VERSION_1)


def test_the_shipped_table_is_read():
    table = rank_table.read(str(SHIPPED))
    assert table.layout == rank_table.LEGACY
    assert [device.rank for device in table.devices] == list(range(8))
    assert table.devices[4] == rank_table.Device(4, "127.0.0.1", 4, "192.168.100.100")


def test_each_layout_becomes_the_other_and_back():
    table = rank_table.read(str(SHIPPED))
    modern = rank_table.render(table, rank_table.VERSION_1)
    assert modern["version"] == "1.0"
    assert modern["server_list"][0]["device"][7] == {
        "device_id": "7",
        "rank_id": "7",
        "device_ip": "192.168.103.100",
    }
    again = rank_table.parse(rank_table.render(rank_table.parse(modern), rank_table.LEGACY))
    assert again == table


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_table_is_made_for_each_number_of_devices(count):
    content = version_1(count)
    assert len(rank_table.parse(content).devices) == count
    assert content["server_count"] == "1"


def test_ranks_of_several_servers_are_numbered_server_by_server():
    table = rank_table.parse(version_1(8, servers=2))
    assert [device.server_id for device in table.devices] == ["10.0.0.1"] * 8 + ["10.0.0.2"] * 8
    assert [device.device_id for device in table.devices] == [*range(8), *range(8)]


def test_one_server_needs_no_addresses():
    table = rank_table.make([("127.0.0.1", {})], range(8))
    content = rank_table.render(table, rank_table.VERSION_1)
    assert rank_table.parse(content).devices[0].device_ip is None
    with pytest.raises(UserError, match="device 0 .*device_ip"):
        rank_table.render(table, rank_table.LEGACY)


def _group(content):
    return content["group_list"][0]


def _instance(content):
    return _group(content)["instance_list"][0]


LEGACY_MISTAKES = [
    (lambda c: c.pop("group_list"), "neither .*group_list"),
    (lambda c: c.update(server_list=[]), "both .*group_list"),
    (lambda c: c.update(status="initializing"), "'initializing', not 'completed'"),
    (lambda c: c.pop("status"), "the table .*status"),
    (lambda c: c.update(group_count="2"), "group_count of the table is '2', .* 1 groups"),
    (lambda c: c.update(group_count=1), "group_count of the table is 1; .*strings"),
    (lambda c: _group(c).update(device_count="4"), "device_count of group worker is '4', .* 8"),
    (lambda c: _group(c).update(instance_count="2"), "instance_count of group worker is '2', .* 1"),
    (lambda c: _group(c).pop("group_name"), "a group .*group_name"),
    (lambda c: _instance(c).pop("pod_name"), "group worker .*pod_name"),
    (lambda c: _instance(c).pop("server_id"), "group worker .*server_id"),
    (lambda c: _instance(c).update(devices=[]), "server 127.0.0.1 .*devices"),
    (lambda c: _instance(c)["devices"][0].pop("device_ip"), "server 127.0.0.1 .*device_ip"),
    (lambda c: _instance(c)["devices"][0].update(device_id="a"), "device_id 'a' on server 127.0"),
    (lambda c: _instance(c)["devices"][0].update(device_ip="1.2.3"), "device_ip '1.2.3'"),
]
VERSION_1_MISTAKES = [
    (lambda c: c.update(version="1.2"), "version is '1.2'"),
    (lambda c: c.pop("version"), "the table .*version"),
    (lambda c: c.update(server_count="2"), "server_count of the table is '2', .* 1 servers"),
    (lambda c: _device(c, 1).update(rank_id="0"), "rank_id 0 .* 2 times"),
    (lambda c: _device(c, 1).update(rank_id="5"), "ranks of 2 devices .* 0 to 1, .* 0, 5"),
    (lambda c: _device(c, 1).update(device_id="0"), "device_id 0 .* 2 times"),
    (lambda c: _device(c, 1).update(device_id="4"), "devices 0, 4; .* 0 to 3 or 4 to 7"),
    (lambda c: _device(c, 1).update(device_id="9"), "device_id 9 .* 0 to 7"),
    (lambda c: _device(c, 1).update(device_ip="192.168.1.0"), "192.168.1.0 .* 2 times"),
    (lambda c: c["server_list"][0].update(server_id="s" * 64), "server_id s+ .* 64 "),
    (lambda c: c["server_list"][0].update(device=[]), "server 10.0.0.1 .*device"),
]


def _device(content, number):
    return content["server_list"][0]["device"][number]


@pytest.mark.parametrize(
    ("content", "mistake", "message"),
    [(legacy(), *row) for row in LEGACY_MISTAKES]
    + [(version_1(), *row) for row in VERSION_1_MISTAKES],
)
def test_each_broken_rule_is_named(content, mistake, message):
    content = copy.deepcopy(content)
    mistake(content)
    with pytest.raises(ValueError, match=message):
        rank_table.parse(content)


def test_servers_must_agree_and_have_addresses():
    twins = version_1(8, servers=2)
    twins["server_list"][1]["server_id"] = "10.0.0.1"
    with pytest.raises(ValueError, match="server_id 10.0.0.1 .* 2 times"):
        rank_table.parse(twins)
    bare = version_1(8, servers=2)
    del bare["server_list"][1]["device"][3]["device_ip"]
    with pytest.raises(ValueError, match="device 3 of server 10.0.0.2 .*device_ip"):
        rank_table.parse(bare)
    uneven = version_1(8, servers=2)
    del uneven["server_list"][1]["device"][7]
    with pytest.raises(ValueError, match="10.0.0.1 8, 10.0.0.2 7"):
        rank_table.parse(uneven)


def test_rules_of_the_910a_do_not_apply_to_other_chips():
    servers = [("127.0.0.1", {})]
    with pytest.raises(UserError, match="3 devices; .* 1, 2, 4 or 8"):
        rank_table.make(servers, range(3))
    assert len(rank_table.make(servers, range(16), chip="other").devices) == 16
    pair = [("10.0.0.1", {0: "1.1.1.1"}), ("10.0.0.2", {0: "1.1.1.2"})]
    with pytest.raises(UserError, match="2 servers with 1 devices each"):
        rank_table.make(pair, [0])


def test_a_file_that_is_not_a_table_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.json: No such file"):
        rank_table.read(str(tmp_path / "absent.json"))
    (tmp_path / "half.json").write_text('{"status": ')
    with pytest.raises(UserError, match="half.json .*JSON"):
        rank_table.read(str(tmp_path / "half.json"))
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UserError, match="list.json: "):
        rank_table.read(str(tmp_path / "list.json"))


def run(*arguments):
    """Runs the command in this process."""
    flag_values = flags.FlagValues()
    common.define_flags(rank_table.RankTableOptions, flag_values=flag_values)
    command, path, *words = map(str, arguments)
    flag_values(["rank_table", *words])
    rank_table.main(flag_values, command, path)


def test_the_command_makes_checks_and_converts(tmp_path, capsys):
    conf = tmp_path / "hccn.conf"
    conf.write_text("address_0=192.168.0.1\nnetmask_0=255.255.255.0\naddress_1=192.168.1.1\n")
    made, converted = tmp_path / "2p.json", tmp_path / "legacy.json"
    run("make", made, "--devices=2", f"--server=10.0.0.5={conf}")
    assert "rank   1  server 10.0.0.5  device 1  192.168.1.1" in capsys.readouterr().out
    run("convert", made, f"--output={converted}")
    capsys.readouterr()
    run("check", converted)
    assert "group_list" in capsys.readouterr().out
    with pytest.raises(UserError, match=str(converted)):
        run("convert", made, f"--output={converted}")
    with pytest.raises(UserError, match="device 2 of server 10.0.0.5"):
        run("make", tmp_path / "4p.json", "--devices=4", f"--server=10.0.0.5={conf}")
    with pytest.raises(OptionError, match="'forge'"):
        run("forge", made)


@pytest.mark.parametrize(
    ("command", "flag"),
    [("check", "--devices=8"), ("convert", "--server=10.0.0.5"), ("make", "--output=a.json")],
)
def test_a_flag_of_another_command_is_refused(tmp_path, command, flag):
    with pytest.raises(OptionError, match=f"{flag.partition('=')[0]} has no effect with {command}"):
        run(command, tmp_path / "table.json", flag)


def test_the_command_can_be_started(tmp_path):
    command = [sys.executable, "-m", "deployment.rank_table", "check", str(tmp_path / "absent")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "absent" in result.stderr


def test_the_910a_supports_512_servers_and_no_more():
    def devices(servers):
        return [
            rank_table_rules.Device(
                8 * server + n, f"s{server}", n, f"10.{server // 256}.{server % 256}.{n}"
            )
            for server in range(servers)
            for n in range(8)
        ]

    rank_table_rules.check(devices(512), "910a")
    with pytest.raises(ValueError, match="513 servers .* 512 servers"):
        rank_table_rules.check(devices(513), "910a")


def test_a_table_that_cannot_be_written_is_named():
    command = [sys.executable, "-m", "deployment.rank_table", "make", "/proc/x.json"]
    result = subprocess.run(
        [*command, "--devices=8"], cwd=str(ROOT), stderr=subprocess.PIPE, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: /proc/x.json cannot be written: ")
