"""``reeltune lengths``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reeltune.attention.packing import TILE, whole_tiles
from reeltune.cli import main
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, PromptSettings, Renderer
from reeltune.errors import ConfigError, DataError, LengthError
from reeltune.lengths.measure import (
    block_lengths,
    char_lengths,
    describe_packing,
    rows_read,
    token_lengths,
)
from tests.errors import error_code
from tests.helpers import chat_tokenizer, tiny_tokenizer
from tests.prompts.build import FORMS, prefixing_tokenizer, prompt_tokens, turns_of

SPLITS = ("train", "validation", "test")
SINGLE = ("--set", "train.share_history=false", "--set", "scoring.share_history=false")


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run ``reeltune lengths``: exit code, output and error output."""
    with pytest.raises(SystemExit) as exited:
        main(["lengths", *args])
    shown = capsys.readouterr()
    return int(exited.value.code or 0), shown.out, shown.err


@pytest.fixture
def config(tmp_path: Path, prepared: PreparedFolder) -> Path:
    tree = {
        "model": {"name_or_path": str(tiny_tokenizer(tmp_path / "tokenizer"))},
        "prompt": {"form": "window", "signals": []},
        "data": {"prepared_dir": str(prepared.path), "max_length": 2048},
        "train": {"pairwise_weight": 0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return tmp_path / "config.yaml"


@pytest.fixture(scope="module")
def tokenizer_lengths(prepared: PreparedFolder) -> dict[str, list[int]]:
    """Tokens of every prompt of each split with its answer, tokenized whole."""
    tokenizer = chat_tokenizer("qwen3")
    tokens = prompt_tokens(prepared, PromptSettings(), tokenizer)
    return {
        split: [
            len(tokenizer(text + "Yes<|im_end|>", add_special_tokens=False)["input_ids"])
            for text in tokens.texts(prepared.timelines, prepared.examples(split))
        ]
        for split in SPLITS
    }


def test_token_lengths_are_those_of_prompt_and_answer(
    prepared: PreparedFolder, tokenizer_lengths: dict[str, list[int]]
):
    tokens = prompt_tokens(prepared, PromptSettings(), chat_tokenizer("qwen3"))
    for split, expected in tokenizer_lengths.items():
        report = token_lengths(prepared, tokens, split, (100,), 200)
        assert (report.count, report.minimum) == (len(expected), min(expected))
        assert report.percentiles == ((100, max(expected)),)
        assert report.mean == pytest.approx(sum(expected) / len(expected))
        assert report.exceeding == sum(length > 200 for length in expected)


def test_token_lengths_are_right_where_pieces_do_not_add_up(prepared: PreparedFolder):
    tokenizer = prefixing_tokenizer()
    tokens = prompt_tokens(prepared, PromptSettings(), tokenizer)
    assert tokens.differing
    texts = tokens.texts(prepared.timelines, prepared.examples("test"))
    expected = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 2 for text in texts]
    report = token_lengths(prepared, tokens, "test", (), 1024)
    assert (report.minimum, report.maximum) == (min(expected), max(expected))


@pytest.mark.parametrize("genres", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_character_lengths_are_those_of_the_turns(
    prepared: PreparedFolder, genres: bool, form: Form
):
    settings = PromptSettings(genres=genres, form=form)
    renderer, examples = Renderer(settings), prepared.examples("train")
    expected = []
    for start, target in zip(examples.start.tolist(), examples.target.tolist(), strict=True):
        turns = turns_of(renderer, prepared.items, prepared.timelines, start, target)
        expected.append(sum(len(turn) for turn in turns))
    report = char_lengths(prepared, settings, "train", (50, 100))
    assert (report.unit, report.count) == ("characters", len(expected))
    assert (report.minimum, report.maximum) == (min(expected), max(expected))
    assert report.mean == pytest.approx(sum(expected) / len(expected))


def test_the_command_shows_every_split(
    capsys: pytest.CaptureFixture[str],
    config: Path,
    prepared: PreparedFolder,
    tokenizer_lengths: dict[str, list[int]],
):
    code, out, _ = run(capsys, "--config", str(config), "--percentiles", "100,0")
    assert code == 0
    assert f" 0 of {len(prepared.items)} films" in out
    for split, expected in tokenizer_lengths.items():
        assert f"{split}: {len(expected)} prompts" in out
        assert f"p100 {max(expected)}  p0 {min(expected)}" in out
    assert "data.max_length 2048" in out.splitlines()[-1]


BAR = re.compile(r"^ +\d+ to +\d+ +\d+ #*$", re.MULTILINE)


@pytest.mark.parametrize("flags", [(), ("--char-only",)])
def test_histograms_are_shown_only_if_requested(
    capsys: pytest.CaptureFixture[str], config: Path, flags: tuple[str, ...]
):
    code, plain, _ = run(capsys, "--config", str(config), *flags)
    assert code == 0
    assert not BAR.search(plain)
    code, shown, _ = run(capsys, "--config", str(config), *flags, "--histogram")
    assert code == 0
    # One of each split; of tokens, training rows in blocks and their sequences as well.
    bars = [bool(BAR.match(line)) for line in shown.splitlines()]
    starts = [here and not before for before, here in zip([False, *bars], bars, strict=False)]
    assert sum(starts) == (3 if flags else 5)
    lines = (line for line, bar in zip(shown.splitlines(), bars, strict=True) if not bar)
    assert "\n".join(lines) == plain.rstrip("\n")


def test_single_prompts_are_all_there_is_where_nothing_is_shared(
    capsys: pytest.CaptureFixture[str], config: Path
):
    code, out, _ = run(capsys, "--config", str(config), *SINGLE, "--set", "train.pack_length=128")
    assert code == 0
    assert "blocks" not in out
    assert "packed" not in out


def test_a_limit_that_just_admits_the_longest_prompt(
    capsys: pytest.CaptureFixture[str], config: Path, tokenizer_lengths: dict[str, list[int]]
):
    longest = max(max(lengths) for lengths in tokenizer_lengths.values())
    args = ("--config", str(config), *SINGLE, "--set")
    assert run(capsys, *args, f"data.max_length={longest}")[0] == 0
    code, _, err = run(capsys, *args, f"data.max_length={longest - 1}")
    assert code == LengthError.exit_code == 7
    assert error_code(err) == "prompt_too_long"
    exceeding = sum(lengths.count(longest) for lengths in tokenizer_lengths.values())
    for figure in (f"data.max_length: {exceeding} ", longest - 1, longest):
        assert str(figure) in err
    assert "block_size" not in err


def test_characters_are_counted_whatever_the_limit(
    capsys: pytest.CaptureFixture[str], config: Path
):
    args = ("--config", str(config), "--char-only", "--set", "data.max_length=1")
    code, out, _ = run(capsys, *args)
    assert code == 0
    assert "characters" in out.splitlines()[0]


@pytest.mark.slow
def test_counting_characters_loads_no_tokenizer(config: Path):
    code = (
        "import sys\n"
        "from reeltune.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(*(m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules))\n"
    )
    args = ["lengths", "--config", str(config), "--char-only"]
    done = subprocess.run(
        [sys.executable, "-c", code, *args], check=True, capture_output=True, text=True
    )
    *shown, loaded = done.stdout.split("\n")[:-1]
    assert "characters" in shown[0]
    assert loaded == ""


def test_wrong_percentiles_are_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], config: Path
):
    args = ("--config", str(config), "--percentiles", "50,x", "--set", "data.prepared_dir=absent")
    code, out, err = run(capsys, *args)
    assert (code, out) == (ConfigError.exit_code, "")
    assert error_code(err) == "bad_percentile"
    assert "'x'" in err


def test_data_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], config: Path):
    code, _, err = run(capsys, "--config", str(config), "--set", "data.prepared_dir=absent")
    assert code == DataError.exit_code
    assert error_code(err) == "not_a_prepared_folder"
    assert "absent" in err


@pytest.mark.parametrize("form", FORMS)
def test_the_command_shows_what_blocks_hold(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder, form: Form
):
    override = (f"prompt.form={form}", "train.block_size=4", "data.max_train_examples=30")
    args = [part for value in override for part in ("--set", value)]
    code, out, _ = run(capsys, "--config", str(config), "--percentiles", "100,0", *args)
    assert code == 0
    tokens = prompt_tokens(prepared, PromptSettings(form=form), chat_tokenizer("qwen3"))
    resolved = load_config(config, override)
    for split in SPLITS:
        held = block_lengths(prepared, tokens, rows_read(resolved, split))
        longest, shortest = held.prompts.max() + 2, held.prompts.min() + 2
        assert f"{split} in blocks of up to 4: {len(held.prompts)} " in out
        assert f"p100 {longest}  p0 {shortest}\n  longer than data.max_length 2048: 0" in out
    held = block_lengths(prepared, tokens, rows_read(resolved, "train"))
    assert len(held.prompts) == 30
    assert f"blocks of up to 4: {len(held.sequences)} " in out
    longest, shortest = held.sequences.max(), held.sequences.min()
    assert f"p100 {longest}  p0 {shortest}\n  longer than train.pack_length 16384: 0" in out
    ratio = held.per_prediction_alone / held.per_prediction
    (line,) = (line for line in out.splitlines() if "per prediction" in line)
    shared, alone = held.per_prediction, held.per_prediction_alone
    assert re.findall(r"[\d.]+", line) == [f"{shared:.1f}", f"{alone:.1f}", f"{ratio:.1f}"]
    rows, filled = describe_packing(held.sequences, 16_384)
    (line,) = (line for line in out.splitlines() if line.startswith("packed:"))
    assert re.findall(r"[\d.]+%?", line) == [f"{rows}", "16384", f"{filled:.1%}"]
    assert out.endswith("data.max_length 2048, every block in train.pack_length 16384\n")


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_that_just_admits_the_longest_prompt_of_a_block(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder, form: Form
):
    tokens = prompt_tokens(prepared, PromptSettings(form=form), chat_tokenizer("qwen3"))
    resolved = load_config(config)
    held = [block_lengths(prepared, tokens, rows_read(resolved, s)) for s in SPLITS]
    longest = max(int(one.prompts.max()) for one in held) + 2
    args = ("--config", str(config), "--set", f"prompt.form={form}", "--set")
    assert run(capsys, *args, f"data.max_length={longest}")[0] == 0
    code, out, err = run(capsys, *args, f"data.max_length={longest - 1}")
    assert code == LengthError.exit_code
    assert f"in blocks of up to {resolved.train.block_size}" in out
    assert error_code(err) == "prompt_too_long"
    exceeding = sum(int((one.prompts + 2 == longest).sum()) for one in held)
    for figure in (f"data.max_length: {exceeding} ", longest - 1, longest, "train.block_size"):
        assert str(figure) in err


def test_held_out_rows_in_blocks_are_checked_even_where_training_has_none(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder
):
    tokens = prompt_tokens(prepared, PromptSettings(), chat_tokenizer("qwen3"))
    resolved = load_config(config)
    longest = max(
        int(block_lengths(prepared, tokens, rows_read(resolved, split)).prompts.max()) + 2
        for split in ("validation", "test")
    )
    args = ("--config", str(config), "--set", "train.share_history=false", "--set")
    assert run(capsys, *args, f"data.max_length={longest}")[0] == 0
    code, out, _ = run(capsys, *args, f"data.max_length={longest - 1}")
    assert code == LengthError.exit_code
    assert "packed" not in out
    assert "train in blocks" not in out


@pytest.mark.parametrize("form", FORMS)
def test_a_row_that_just_admits_the_longest_block(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder, form: Form
):
    tokens = prompt_tokens(prepared, PromptSettings(form=form), chat_tokenizer("qwen3"))
    held = block_lengths(prepared, tokens, rows_read(load_config(config), "train"))
    admitting = whole_tiles(int(held.sequences.max()))
    shorter = admitting - TILE
    args = ("--config", str(config), "--set", f"prompt.form={form}", "--set")
    assert run(capsys, *args, f"train.pack_length={admitting}")[0] == 0
    code, out, err = run(capsys, *args, f"train.pack_length={shorter}")
    assert code == LengthError.exit_code
    exceeding = int((held.sequences > shorter).sum())
    assert f"longer than train.pack_length {shorter}: {exceeding}" in out
    assert error_code(err) == "sequence_too_long"
    for figure in ("train.pack_length: ", admitting, "train.block_size"):
        assert str(figure) in err
