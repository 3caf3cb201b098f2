"""CLIP text towers, opened up so that learned vectors can stand where words would.

open_clip encodes token ids only. Prompt learning (Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV
2022) needs gradients with respect to the embeddings that the ids select, so the forward pass is split after them.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, arange, nn

from errors import PromptError


def tower_of(model: nn.Module) -> Any:
    """The module that holds the text tower's parts: the model itself for CLIP, ``model.text`` for CustomTextCLIP.

    Raises:
        PromptError: the tower is not a plain open_clip transformer that pools at the end token.
    """
    tower = model if hasattr(model, "token_embedding") else getattr(model, "text", None)
    pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", None))
    if tower is None or not hasattr(tower, "token_embedding") or getattr(tower, "cls_emb", None) is not None:
        raise PromptError("Prompts can be learned on open_clip's own text transformers only; this model has another.")
    if pool != "argmax":
        raise PromptError(f"Prompts can be learned on text towers that pool at the end token; this one uses {pool!r}.")
    return tower


def width(model: nn.Module) -> int:
    """Length of a token embedding."""
    return tower_of(model).token_embedding.weight.shape[1]


def embed(model: nn.Module, ids: Tensor) -> Tensor:
    """(T,L) ids to (T,L,width) embeddings, before positions are added."""
    return tower_of(model).token_embedding(ids)


def encode(model: nn.Module, embeddings: Tensor, end: Tensor) -> Tensor:
    """Finish what ``encode_text`` does after the embedding look-up.

    Args:
        model: an open_clip model.
        embeddings: (T,L,width), L up to the context length.
        end: (T,) position of each text's end token.

    Returns:
        (T,D) normalised.
    """
    tower = tower_of(model)
    length = embeddings.shape[1]
    mask = tower.attn_mask
    x = embeddings + tower.positional_embedding[:length]
    x = tower.transformer(x, attn_mask=None if mask is None else mask[:length, :length])
    x = tower.ln_final(x)[arange(len(x), device=x.device), end]
    projection = tower.text_projection
    if projection is not None:
        x = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return F.normalize(x, dim=-1)
