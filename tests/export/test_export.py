"""``export`` keeps a merged model that predicts as the adapter does, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from reeltune.config import load_config
from reeltune.errors import ModelError, RunError
from reeltune.evaluation.compare import generate
from reeltune.export.drift import FOUR_BIT, MERGED, UNQUANTIZED
from reeltune.export.export import _write_gguf
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.models.prompt_record import PROMPT_FILE
from reeltune.runs.folder import ADAPTER_WEIGHTS
from reeltune.scoring.scorer import Scorer
from tests.errors import error_code, raises_error
from tests.export.conftest import Trained, change_record, record

FLOAT32 = ("--dtype", "float32")
ANY_AUC = ("--max-auc-drift", "1")
"""On a few similar rows, one swapped pair moves the AUC by more than the bound."""
OUT = "merged"


@pytest.fixture(scope="module")
def exact(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, merged without any rounding."""
    target = tmp_path_factory.mktemp("exact") / OUT
    assert trained.export(target, *FLOAT32) == 0
    return target


@pytest.fixture(scope="module")
def subject(trained: Trained) -> LoadedModel:
    """The adapter on its base."""
    return load_model(load_config(None, trained.overrides), trained.adapter)


def plain(folder: Path, prompts: list[list[int]], answers: tuple[int, int]) -> np.ndarray:
    """P(Yes) of the folder's model by transformers alone, one prompt at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    found = []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(torch.tensor([prompt])).logits[0, -1, list(answers)]
        found.append(logits.double().softmax(0)[0].item())
    return np.array(found)


def difference(drift: dict, first: str, second: str) -> dict:
    (found,) = (d for d in drift["differences"] if (d["first"], d["second"]) == (first, second))
    return found


# In float32 only the order of sums differs; in 16 bits every weight and every activation is
# rounded: bfloat16 keeps 8 bits of each, float16 11.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.01), ("float16", 0.002)]
)
def test_plain_transformers_gives_the_adapters_predictions(
    trained, subject, tmp_path, dtype, tolerance
):
    target = tmp_path / OUT
    assert trained.export(target, "--dtype", dtype, *ANY_AUC) == 0
    rows = subject.rows("test")
    adapter = Scorer.checked(subject, rows.sequences).score(rows.sequences).p_yes
    prompts = [row.tolist() for row in rows.sequences.alone()]
    answers = (subject.tokens.answers.yes, subject.tokens.answers.no)
    np.testing.assert_allclose(plain(target, prompts, answers), adapter, rtol=0, atol=tolerance)
    with subject.without_adapter():
        base = Scorer.checked(subject, rows.sequences).score(rows.sequences).p_yes
    assert np.abs(base - adapter).max() > 5 * tolerance
    assert np.ptp(adapter) > 3 * tolerance


@pytest.mark.slow
def test_measurements_are_in_the_record(exact, trained, prepared):
    written = record(exact)
    drift = written["drift"]
    assert drift["rows"] == len(prepared.examples("test"))
    assert drift["reference"] == UNQUANTIZED
    assert drift["exceeded"] == []
    assert not written["kept_despite_drift"]
    merged = difference(drift, UNQUANTIZED, MERGED)
    assert 0 < merged["p_yes_max"] < 1e-5
    assert 0 < merged["p_yes_mean"] <= merged["p_yes_max"]
    aucs = {measured["name"]: measured["auc"] for measured in drift["measurements"]}
    assert merged["auc"] == aucs[MERGED] - aucs[UNQUANTIZED]
    assert drift["rows_available"] == drift["rows"]
    assert drift["reference_known"] is True
    assert len(drift["notes"]) == 1
    assert written["dtype"] == "float32"
    run = json.loads((trained.adapter / "run.json").read_text())
    assert written["adapter"]["config_sha256"] == run["config_sha256"]
    assert "model.safetensors" in written["files"]
    assert {file.name for file in exact.iterdir()} == {
        *written["files"],
        "export.json",
        "README.md",
    }


@pytest.mark.slow
def test_the_number_of_rows_is_limited(trained, tmp_path):
    assert trained.export(tmp_path / OUT, *FLOAT32, "--rows", "7", "--split", "validation") == 0
    drift = record(tmp_path / OUT)["drift"]
    assert (drift["rows"], drift["split"]) == (7, "validation")
    assert drift["rows_available"] > 7


def test_the_card_is_valid_for_the_hub(exact):
    data = ModelCard.load(exact / "README.md").data
    assert (data.library_name, data["base_model_relation"]) == ("transformers", "finetune")
    (result,) = data.eval_results or []
    drift = record(exact)["drift"]
    assert (result.metric_type, result.dataset_split) == ("roc_auc", drift["split"])
    assert result.metric_value == drift["measurements"][-1]["auc"]
    assert result.dataset_args == {"rows": drift["rows"]}


def test_it_generates_one_word_and_stops(exact, subject):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(exact), subject.base.tokenizer
    end = subject.tokens.answers.end
    prompts = subject.rows("test").sequences.alone()
    for row in range(0, len(prompts), 5):
        ids = torch.tensor([prompts[row].tolist()])
        generated = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids))[
            0, ids.shape[1] :
        ]
        assert len(generated) == 2
        assert generated[-1].item() == end
        assert tokenizer.decode(generated[:1]) in ("Yes", "No")
        assert tokenizer.decode(generated[:1]) == generate(subject, prompts[row].tolist())


def test_the_code_in_the_card_gives_the_prediction(exact, subject, monkeypatch):
    card = (exact / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(exact)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    ids = [subject.tokens.tokenizer(names["prompt"], add_special_tokens=False)["input_ids"]]
    answers = (subject.tokens.answers.yes, subject.tokens.answers.no)
    assert names["p_yes"] == pytest.approx(plain(exact, ids, answers)[0], abs=1e-6)
    turns = [message["content"] for message in names["messages"]]
    assert names["prompt"] == subject.tokens.frame.wrap(*turns)
    # The request to a server is about the same prompt, and its expected score is this prediction.
    request, written = json.loads((exact / "generative_scoring.json").read_text()), record(exact)
    assert [[*request["query"], *item] for item in request["items"]] == ids
    assert (*request["label_token_ids"],) == answers
    assert written["example_p_yes"] == pytest.approx(names["p_yes"], abs=1e-6)
    assert f"{written['example_p_yes']:.4f}" in card
    longest = max(map(len, subject.rows("test").sequences.alone()))
    assert longest <= written["longest_prompt"] < 2 * longest
    assert re.search(r"^\| merged .*\| [+-]\d\.\d{4} \|", card, re.MULTILINE)
    assert "--allow-drift" not in card


@pytest.mark.slow
def test_rounding_beyond_the_bound_leaves_no_folder(trained, tmp_path, capsys):
    code = trained.export(tmp_path / OUT, "--max-p-drift", "0")
    printed = capsys.readouterr()
    assert code == ModelError.exit_code
    assert list(tmp_path.iterdir()) == []
    assert error_code(printed.err) == "export_drift"
    assert "P(Yes)" in printed.err
    assert "--allow-drift" in printed.err
    assert "--dtype float16" in printed.err
    assert re.search(r"│ merged .*│ +[+-]\d\.\d{4} │", printed.out)


@pytest.mark.slow
def test_allowed_drift_is_kept_and_reported(trained, tmp_path, capsys):
    target = tmp_path / OUT
    assert trained.export(target, "--max-p-drift", "0", "--allow-drift", *ANY_AUC) == 0
    written = record(target)
    assert written["kept_despite_drift"]
    assert len(written["drift"]["exceeded"]) == 1
    assert written["drift"]["bounds"]["p_yes"] == 0
    assert "--allow-drift" in (target / "README.md").read_text()
    assert "--allow-drift" in capsys.readouterr().out


def test_only_an_export_is_replaced(trained, exact, tmp_path, capsys):
    target = tmp_path / OUT
    target.mkdir()
    assert trained.export(target) == RunError.exit_code
    assert error_code(capsys.readouterr().err) == "export_exists"
    (target / "mine.txt").write_text("mine")
    assert trained.export(target, "--overwrite") == RunError.exit_code
    assert error_code(capsys.readouterr().err) == "not_an_export"
    (target / "export.json").write_text("{}")  # an export, with a file of the user's
    assert trained.export(target, "--overwrite") == RunError.exit_code
    assert error_code(capsys.readouterr().err) == "not_an_export"
    assert (target / "mine.txt").read_text() == "mine"
    assert trained.export(trained.adapter, "--overwrite") == RunError.exit_code
    assert (trained.adapter / ADAPTER_WEIGHTS).is_file()


CONVERTER = """
import json, sys
from pathlib import Path
folder, _, target, *rest = sys.argv[1:]
assert (Path(folder) / "model.safetensors").is_file()
Path(target).write_text(json.dumps(rest))
"""
"""Takes the arguments of llama.cpp's converter, and writes down those about name and type."""


@pytest.mark.slow
def test_a_gguf_file_is_part_of_the_export(trained, tmp_path):
    converter, target = tmp_path / "convert_hf_to_gguf.py", tmp_path / OUT
    converter.write_text(CONVERTER)
    assert trained.export(target, *ANY_AUC, "--gguf", str(converter)) == 0
    arguments = json.loads((target / "model.gguf").read_text())
    assert arguments == ["--model-name", OUT, "--outtype", "bf16"]
    assert "model.gguf" in record(target)["files"]
    assert trained.export(target, *ANY_AUC, "--overwrite") == 0
    assert not (target / "model.gguf").exists()


@pytest.mark.parametrize("script", ["raise SystemExit('a bad day')", "", None])
def test_a_failed_conversion_is_an_error(tmp_path, script):
    converter = tmp_path / "convert_hf_to_gguf.py"
    if script is not None:
        converter.write_text(script)
    with raises_error(ModelError, "gguf_not_written", where=str(converter)) as caught:
        _write_gguf(tmp_path, converter, OUT, "float16")
    assert ("a bad day" in str(caught.value)) == bool(script)


@pytest.mark.slow
def test_an_earlier_export_is_replaced_only_within_the_bounds(trained, tmp_path):
    target = tmp_path / OUT
    assert trained.export(target, *FLOAT32) == 0
    assert trained.export(target, "--overwrite", "--max-p-drift", "0") == ModelError.exit_code
    assert record(target)["dtype"] == "float32"
    assert trained.export(target, "--overwrite", *ANY_AUC) == 0
    assert record(target)["dtype"] == "bfloat16"
    assert list(tmp_path.iterdir()) == [target]


def test_an_adapter_of_another_prompt_is_refused(trained, tmp_path, capsys):
    adapter = trained.copy(tmp_path / "run")
    prompt = json.loads((adapter / PROMPT_FILE).read_text())
    prompt["settings"]["version"] = "0"
    (adapter / PROMPT_FILE).write_text(json.dumps(prompt))
    assert trained.export(tmp_path / OUT, adapter=adapter) == ModelError.exit_code
    assert "version 0" in capsys.readouterr().err
    assert not (tmp_path / OUT).exists()


@pytest.mark.slow
def test_an_adapter_without_a_record_can_be_exported(trained, tmp_path):
    adapter = trained.copy(tmp_path / "run")
    for name in ("run.json", "metrics.json"):
        (adapter / name).unlink()
    assert trained.export(tmp_path / OUT, *FLOAT32, adapter=adapter) == 0
    written = record(tmp_path / OUT)
    assert written["adapter"]["config_sha256"] is None
    assert written["drift"]["reference_known"] is False
    assert "training rows" not in (tmp_path / OUT / "README.md").read_text()


on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="about a machine without GPU")


@on_cpu
def test_unavailable_4_bits_are_reported_as_not_measured(exact):
    drift = record(exact)["drift"]
    (measured,) = (m for m in drift["measurements"] if m["name"] == FOUR_BIT)
    assert measured["auc"] is None
    assert "quantization.allow_cpu=true" in measured["not_measured"]
    assert difference(drift, FOUR_BIT, MERGED)["p_yes_max"] is None


@pytest.mark.slow
@on_cpu
def test_an_adapter_trained_in_4_bits_is_compared_in_4_bits(trained_in_4_bits, tmp_path, capsys):
    assert trained_in_4_bits.export(tmp_path / OUT, "--max-p-drift", "1", *ANY_AUC) == 0
    drift = record(tmp_path / OUT)["drift"]
    assert drift["reference"] == FOUR_BIT
    assert [m["not_measured"] for m in drift["measurements"]] == [None] * 3
    rounded, quantized = (
        difference(drift, name, MERGED)["p_yes_max"] for name in (UNQUANTIZED, FOUR_BIT)
    )
    # Leaving the 4-bit base changes far more than rounding to 16 bits does.
    assert quantized > 2 * rounded > 0
    assert quantized > 1e-3
    bound = str(quantized / 2)
    flags = ("--max-p-drift", bound, *ANY_AUC)
    assert trained_in_4_bits.export(tmp_path / "other", *flags) == ModelError.exit_code
    error = capsys.readouterr().err
    assert error_code(error) == "export_drift"
    assert "--onto 4bit" in error


@pytest.mark.slow
@on_cpu
def test_merging_into_dequantized_weights_equals_the_adapter(trained_in_4_bits, tmp_path):
    target = tmp_path / OUT
    assert trained_in_4_bits.export(target, *FLOAT32, "--onto", "4bit") == 0
    written = record(target)
    assert difference(written["drift"], FOUR_BIT, MERGED)["p_yes_max"] < 1e-5
    assert difference(written["drift"], UNQUANTIZED, MERGED)["p_yes_max"] > 1e-3
    assert written["onto"] == "4bit"
    assert "quantization_config" not in json.loads((target / "config.json").read_text())
    assert "dequantized" in (target / "README.md").read_text()


@pytest.mark.slow
@on_cpu
def test_onto_4bit_without_4_bits_is_an_error(trained, tmp_path, capsys):
    assert trained.export(tmp_path / OUT, "--onto", "4bit") == ModelError.exit_code
    assert error_code(capsys.readouterr().err) == "four_bit_unavailable"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@on_cpu
def test_an_unavailable_reference_is_an_error(trained, tmp_path, capsys):
    adapter = trained.copy(tmp_path / "run")
    choices = json.loads((adapter / "run.json").read_text())["choices"]
    in_4_bits = [c.replace("four bit: False", "four bit: True") for c in choices]
    assert in_4_bits != choices
    change_record(adapter, choices=in_4_bits)
    assert trained.export(tmp_path / OUT, *FLOAT32, adapter=adapter) == ModelError.exit_code
    error = capsys.readouterr().err
    assert error_code(error) == "export_drift"
    assert "quantization.allow_cpu=true" in error
    assert not (tmp_path / OUT).exists()
    allowed = ("--set", "quantization.allow_cpu=true", "--max-p-drift", "1", *ANY_AUC)
    assert trained.export(tmp_path / OUT, *FLOAT32, *allowed, adapter=adapter) == 0
    assert record(tmp_path / OUT)["drift"]["reference"] == FOUR_BIT
