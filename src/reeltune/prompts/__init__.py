"""Prompts as token ids: pieces, sequences that share histories, and rows to train or score on."""

from reeltune.prompts.chat import AnswerTokens, ChatFrame, answer_tokens, chat_frame
from reeltune.prompts.pieces import Pieces, PromptTokens, char_pieces
from reeltune.prompts.rows import Selection, TokenRows, choose_blocks, prompt_settings, tokenize
from reeltune.prompts.sequences import Sequences
from reeltune.prompts.sharing import block_sequences, candidate_sequences

__all__ = [
    "AnswerTokens",
    "ChatFrame",
    "Pieces",
    "PromptTokens",
    "Selection",
    "Sequences",
    "TokenRows",
    "answer_tokens",
    "block_sequences",
    "candidate_sequences",
    "char_pieces",
    "chat_frame",
    "choose_blocks",
    "prompt_settings",
    "tokenize",
]
