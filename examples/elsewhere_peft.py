"""P(Yes) of a reeltune adapter, by PEFT and transformers alone."""

import sys

import torch
from elsewhere_prompt import encode_prompt
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

run, *items = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(run, trust_remote_code=False)
model = AutoPeftModelForCausalLM.from_pretrained(
    run, dtype=torch.float32, trust_remote_code=False
).eval()
ids, answers = encode_prompt(run, tokenizer, items)
with torch.no_grad():
    logits = model(input_ids=torch.tensor([ids])).logits[0, -1, answers]
print(f"P(Yes) = {logits.double().softmax(0)[0].item():.6f}")
