"""A command takes only flags that have an effect there; others are refused or get a notice."""

import pytest
from absl import flags

from commands import running
from deployment import rank_table
from options import family
from options.data_tools import FetchOptions, IndexMasksOptions, SyntheticOptions
from options.refused import IGNORED, REFUSED
from tests.commands.call_graph import ROOT, CallGraph
from utils.errors import OptionError

pytestmark = pytest.mark.once

VERBS = running.verbs()
GRAPH = CallGraph(ROOT)
# Flags that their own check reads alone, and why they exist.
ONE_VALUE = {
    "label_format": "masks are PNG; the flag is the reference's",
    "segmentation_format": "masks are PNG; the flag is the reference's",
    "vis_batch_size": "images go one by one; other values are refused",
    "refinenet_crp_strides": "what is added must have one size; other values are refused",
    "refinenet_rcu_strides": "what is added must have one size; other values are refused",
}
# Programs that are no verb -> the records of their flags.
TOOLS = {
    "datasets.fetch": FetchOptions,
    "datasets.index_masks": IndexMasksOptions,
    "datasets.synthetic": SyntheticOptions,
    "deployment.rank_table": rank_table.RankTableOptions,
}
ARGUMENTS = {"convert": ["folders"], "audit": ["records"], "score": ["log"], "launch": ["--", "a"]}


def parse(verb, *words, by_mode=False):
    argv = ["program", *words, *ARGUMENTS.get(verb, [])]
    return running.parse(verb, "program", by_mode, flags.FlagValues(), argv)


@pytest.mark.parametrize("verb", VERBS)
def test_code_that_a_command_reaches_reads_each_of_its_flags(verb):
    read = GRAPH.attributes_read(VERBS[verb].engine, "main")
    assert sorted(set(VERBS[verb].fields()) - read - set(ONE_VALUE)) == []


@pytest.mark.parametrize("tool", TOOLS)
def test_code_that_a_tool_reaches_reads_each_of_its_flags(tool):
    read = GRAPH.attributes_read(tool, "main")
    assert sorted(set(TOOLS[tool].names()) - read - set(ONE_VALUE)) == []


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("predict", "max_rotation"),
        ("evaluate", "train_batch_size"),
        ("train", "window_size"),
        ("export", "max_rotation"),
        ("score", "eval_split"),
    ],
)
def test_code_that_only_another_command_reaches_does_not_count(verb, name):
    assert name not in GRAPH.attributes_read(VERBS[verb].engine, "main")


@pytest.mark.parametrize("verb", VERBS)
def test_a_flag_without_effect_is_refused_with_the_commands_that_take_it(verb):
    for flag, name, users in (
        ("--max_rotation=30", "max_rotation", ["train"]),
        ("--noreport", "report", ["evaluate"]),
        ("--window_size=9,9", "window_size", ["evaluate", "predict"]),
    ):
        if name in VERBS[verb].fields():
            continue
        with pytest.raises(OptionError, match=f"--{name}: .*{verb}.*{users[0]}"):
            parse(verb, flag)


def _word(name):
    """Returns a flag of the family with a value that changes nothing where it is refused."""
    default = {**REFUSED, **IGNORED}.get(name, (None, None))[1]
    if default is not None:
        return f"--{name}={default}"
    users = [command for command in VERBS.values() if name in command.fields()]
    field = users[0].fields()[name]
    if field.metadata["choices"]:
        return f"--{name}={field.metadata['choices'][0]}"
    return f"--{name}=true" if isinstance(field.default, bool) else f"--{name}=1"


# Without a verb that takes them.
ELSEWHERE = {"original_gt_folder", "segmentation_format", "task"}


@pytest.mark.parametrize("verb", VERBS)
def test_flags_of_the_family_are_accepted_and_those_without_effect_named_once(verb):
    own = set(VERBS[verb].fields())
    useless = family.NAMES - own - set(REFUSED) - ELSEWHERE
    parsed = parse(verb, *map(_word, sorted(useless)))
    assert all(f"--{name}" in parsed.notice for name in useless)
    assert "\n" not in parsed.notice
    assert parsed.config.given == frozenset()


@pytest.mark.parametrize("verb", VERBS)
def test_upstreams_flags_of_clones_and_replicas_are_accepted_where_they_change_nothing(verb):
    parsed = parse(verb, "--num_clones=1", "--num_replicas=1", "--num_ps_tasks=0", "--master=")
    assert parsed.notice == ""
    for word in ("--num_clones=2", "--num_ps_tasks=1", "--master=grpc://host", "--clone_on_cpu"):
        with pytest.raises(OptionError, match=word.split("=")[0]):
            parse(verb, word)


@pytest.mark.parametrize("verb", VERBS)
def test_what_has_an_effect_nowhere_is_refused_unless_it_is_at_its_default(verb):
    parse(verb, "--nonas_use_classification_head", "--quantize_delay_step=-1")
    for word in ("--nas_use_classification_head", "--drop_path_keep_prob=0.5"):
        with pytest.raises(OptionError, match=word.split("=")[0]):
            parse(verb, word)


def test_train_npu_takes_the_flags_of_both_modes():
    words = ("--checkpoint_dir=run", "--watch", "--max_rotation=3")
    parsed = parse("train", *words, by_mode=True)
    assert parsed.command.name == "train"
    assert "--checkpoint_dir" in parsed.notice
    assert "--watch" in parsed.notice
    assert parsed.config.augmentation.max_rotation == 3
    parsed = parse("train", "--mode=evaluate", *words, by_mode=True)
    assert parsed.command.name == "evaluate"
    assert "--max_rotation" in parsed.notice
    assert parsed.config.evaluation.checkpoint_dir == "run"
    with pytest.raises(OptionError, match="--mode is 'predict'"):
        parse("train", "--mode", "predict", by_mode=True)
    with pytest.raises(OptionError, match="--save"):
        parse("train", "--save=index", by_mode=True)


def test_a_mode_that_contradicts_the_command_is_refused():
    with pytest.raises(OptionError, match="--mode=train"):
        parse("evaluate", "--mode=train")
    parse("evaluate", "--mode=evaluate")


def test_the_origin_of_a_flag_is_the_command_line_or_a_file(tmp_path):
    inner, outer = tmp_path / "inner.flags", tmp_path / "outer.flags"
    inner.write_text("--seed=4\n--nodo_checkpoint\n")
    outer.write_text(f"--flagfile={inner}\n--log_steps=3\n--eval_split=test\n")
    config = parse("train", "--seed", "3", f"--flagfile={outer}", "--log_steps=5").config
    assert (config.train.seed, config.train.log_steps) == (4, 5)
    assert config.train.do_checkpoint is False
    assert config.origin("seed") == config.origin("do_checkpoint") == f"file:{outer}"
    assert config.origin("log_steps") == "flag"
    assert config.origin("train_split") == "default"
    assert config.given == {"seed", "do_checkpoint", "log_steps", "eval_split"}


def test_an_empty_value_takes_back_what_a_file_gave(tmp_path):
    (tmp_path / "a.flags").write_text("--tf_initial_checkpoint=model.ckpt\n")
    words = (f"--flagfile={tmp_path}/a.flags", "--tf_initial_checkpoint=")
    assert parse("train", *words).config.train.tf_initial_checkpoint is None
