"""Models, prompts and comparisons for the tests of exact sharing, on any device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import send_to_device
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, Renderer
from reeltune.models.causal_lm import compile_layers
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import Selection, TokenRows, choose_blocks, tokenize
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.head import AnswerHead
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.scorer import Scorer
from reeltune.training.collate import ROW, Collator, Labels, PackCollator, PlainCollator
from reeltune.training.loss import answer_loss

PAD_ID = 0
PACK_LENGTH = 1024
FORMS: tuple[Form, ...] = ("window", "interview")


@dataclass(frozen=True)
class SharingCase:
    """A model with prompts over prepared data."""

    folder: PreparedFolder
    model: PeftModel
    tokens: PromptTokens

    def rows(self, targets: int, limit: int | None, seed: int, answered: bool = False) -> TokenRows:
        """Return a sample of the training examples in blocks of at most ``targets``."""
        selection = Selection("train", limit, seed, True, targets, answered)
        return tokenize(self.folder, self.tokens, choose_blocks(self.folder, selection), selection)

    def scorer(self, tokens_per_batch: int) -> Scorer:
        """Return a scorer of the model."""
        return Scorer(self.model, self.tokens.answers, tokens_per_batch)

    def alone(self, sequences: Sequences) -> Predictions:
        """Return the predictions on the same prompts, one at a time and without padding."""
        return self.scorer(1).score(Sequences.single(sequences.alone()))


def drawn_model(folder: Path, device: str = "cpu") -> PeftModel:
    """Load a model and randomize its weights by :func:`drawn`."""
    return drawn(AutoModelForCausalLM.from_pretrained(folder), device)


def drawn(
    base: PreTrainedModel, device: str = "cpu", targets: str | list[str] = "all-linear"
) -> PeftModel:
    """Put an adapter on a model and draw all matrices wide enough that predictions differ."""
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=targets, r=4, lora_alpha=4)
    model = get_peft_model(base, config)
    assert isinstance(model, PeftModel)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.2, generator=random)
    torch.nn.Module.to(model, device)
    return model.eval()


def sharing_case(folder: PreparedFolder, model: PeftModel, path: Path, form: Form) -> SharingCase:
    """Return a model with prompts of a form, by its tokenizer."""
    renderer = Renderer(replace(folder.prompt_settings, form=form))
    tokens = PromptTokens(AutoTokenizer.from_pretrained(path), renderer, folder.items)
    assert not tokens.differing
    return SharingCase(folder, model, tokens)


def single(rows: TokenRows, labels: Labels) -> TokenRows:
    """Return the same examples, each a sequence of its own with its answer."""
    prompts = rows.sequences.alone()
    answers = np.where(rows.liked, labels.answers.yes, labels.answers.no).astype(np.int32)
    ids = [np.append(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    return replace(rows, sequences=Sequences.single(Ragged.from_rows(ids), answered=True))


def gradients(
    case: SharingCase, collator: Collator, size: int
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the loss summed over all rows, and its gradients.

    Args:
        case: Whose adapter is meant.
        collator: Makes the batches.
        size: Rows of a batch.
    """
    case.model.zero_grad()
    head, total = AnswerHead(case.model), 0.0
    for first in range(0, len(collator), size):
        rows = [{ROW: row} for row in range(first, min(first + size, len(collator)))]
        batch = dict(send_to_device(collator(rows), head.causal.device))
        loss, _ = answer_loss(case.model, head, batch, case.tokens.answers)
        loss.backward()
        total += loss.item()
    found = {
        name: parameter.grad.clone()
        for name, parameter in case.model.named_parameters()
        if parameter.grad is not None
    }
    return total, found


def shared_gradients(
    case: SharingCase, rows: TokenRows, end: bool
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return loss and gradients of several packed rows, two at a time."""
    labels = Labels(case.tokens.answers, end)
    batch_size = 2 if case.model.device.type == "cuda" else None
    collator = PackCollator(rows, labels, PAD_ID, PACK_LENGTH, batch_size)
    assert 2 < len(collator) < len(rows.sequences) < len(rows)
    return gradients(case, collator, 2)


def single_gradients(
    case: SharingCase, rows: TokenRows, end: bool
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return loss and gradients of the same examples, each alone."""
    labels = Labels(case.tokens.answers, end)
    return gradients(case, PlainCollator(single(rows, labels), labels, PAD_ID), 1)


def check_predictions(
    case: SharingCase, sequences: Sequences, atol: float, compiled: bool = False
) -> None:
    """Compare shared predictions with those of the prompts alone, whatever the size of a batch.

    Args:
        case: Who is case.
        sequences: What is case.
        atol: Bound on the difference in P(Yes).
        compiled: Whether the model's layers are compiled before sharing.
    """
    assert len(sequences) < sequences.answer_count
    expected = case.alone(sequences).p_yes
    assert expected.std() > 0.01
    if compiled:
        compile_layers(case.model)
    for tokens_per_batch in (1, 900, 5000):
        found = case.scorer(tokens_per_batch).score(sequences).p_yes
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def check_gradients(
    case: SharingCase, rows: TokenRows, end: bool, rtol: float, compiled: bool = False
) -> None:
    """Compare the summed loss of packed rows and its gradients with those of the examples alone.

    Args:
        case: Whose adapter is meant.
        rows: Answered blocks.
        end: Whether the end of the turn is learned as well as the answer.
        rtol: Bound on the difference, as a share of the loss and of each gradient's largest entry.
        compiled: Whether the model's layers are compiled before sharing.
    """
    expected_loss, expected = single_gradients(case, rows, end)
    if compiled:
        compile_layers(case.model)
    loss, found = shared_gradients(case, rows, end)
    assert abs(loss - expected_loss) <= rtol * expected_loss
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        size = gradient.abs().max().item()
        assert size > 0, name
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=rtol * size)
