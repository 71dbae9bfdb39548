"""P(Yes) of merged weights, by CTranslate2 on a CPU."""

import sys
from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2.converters import TransformersConverter
from elsewhere_prompt import encode_prompt
from transformers import AutoTokenizer

merged, converted, *items = sys.argv[1:]
if not Path(converted).exists():
    TransformersConverter(merged).convert(converted)
tokenizer = AutoTokenizer.from_pretrained(merged, trust_remote_code=False)
model = ctranslate2.Generator(converted, compute_type="float32")
ids, answers = encode_prompt(merged, tokenizer, items)
(result,) = model.generate_batch(
    [tokenizer.convert_ids_to_tokens(ids)],
    max_length=1,
    include_prompt_in_result=False,  # reads the prompt in one pass
    return_logits_vocab=True,
)
yes, no = np.array(result.logits[0]).ravel()[answers].astype(float)
print(f"P(Yes) = {1 / (1 + np.exp(no - yes)):.6f}")
