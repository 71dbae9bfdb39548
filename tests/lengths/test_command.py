from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, PromptSettings, Renderer
from reeltune.errors import ConfigError, DataError, LengthError
from reeltune.lengths.measure import char_lengths, token_lengths
from tests.errors import error_code
from tests.helpers import chat_tokenizer
from tests.lengths.command import SPLITS, run
from tests.prompts.build import FORMS, prefixing_tokenizer, prompt_tokens, turns_of

SINGLE = ("--set", "train.share_history=false", "--set", "scoring.share_history=false")


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
