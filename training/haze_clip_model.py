"""The haze CLIP as a network: open_clip's, over the words that training can reach, started from photographs.

The text tower is narrow and has CLIP's whole vocabulary; the embeddings of tokens that no training caption can contain
are zero, so unknown words are neutral, and are not even held in memory while training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training import captions

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


class Words:
    """Token ids of texts in a compact vocabulary: only tokens that training can reach have a row.

    Row 0 is zero and stands for every other token, the unknown noun and padding; the order of open_clip's ids is
    kept, so the end token is still the largest and pooling by argmax works. ``expand`` gives back the full table.
    """

    def __init__(self, context_length: int) -> None:
        self.tokenize = open_clip.SimpleTokenizer(context_length=context_length)
        unknown = set(self.tokenize.encode(captions.UNKNOWN))
        reached = {self.tokenize.sot_token_id, self.tokenize.eot_token_id}
        for text in captions.training_texts():
            reached.update(self.tokenize.encode(text))
        self.reached = sorted(reached - unknown)
        self.row = {token: row for row, token in enumerate(self.reached, start=1)}
        self.cache: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.reached) + 1

    def __call__(self, texts: list[str]) -> Tensor:
        """(len(texts), longest) compact ids, zero-padded after the end token."""
        for text in texts:
            if text not in self.cache:
                row = self.tokenize([text])[0].tolist()
                row = row[: row.index(self.tokenize.eot_token_id) + 1]
                self.cache[text] = [self.row.get(token, 0) for token in row]
        rows = [self.cache[text] for text in texts]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        return ids

    def expand(self, table: Tensor) -> Tensor:
        """From compact rows to open_clip's whole vocabulary; unreached tokens are zero."""
        full = table.new_zeros(self.tokenize.vocab_size, table.shape[1])
        full[torch.tensor(self.reached)] = table[1:]
        return full


def encode_text(model: nn.Module, ids: Tensor) -> Tensor:
    """open_clip's ``encode_text``, normalised, for texts shorter than the context length."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), ids.argmax(-1)] @ model.text_projection
    return F.normalize(x, dim=-1)


def normalise(pixels: Tensor) -> Tensor:
    """From [0,1] to what the image tower expects."""
    mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pixels - mean) / std


def build_model(config: Mapping[str, Any], words: Words) -> nn.Module:
    """A fresh model of an open_clip configuration over the compact vocabulary, row 0 zero and frozen."""
    model = open_clip.model.CLIP(**{**config, "text_cfg": {**config["text_cfg"], "vocab_size": len(words)}})
    with torch.no_grad():
        model.token_embedding.weight[0] = 0.0
    keep = torch.ones(len(words), 1)
    keep[0] = 0.0
    model.token_embedding.weight.register_hook(lambda gradient: gradient * keep.to(gradient))
    return model


def whiten_patches(model: nn.Module, pictures: Iterable[np.ndarray], rng: np.random.Generator) -> None:
    """Start the patch embedding from the statistics of photographs instead of noise.

    Photographs have so little energy at high frequencies that random filters see almost only mean colours, and a short
    run never learns to see noise, blur or block edges. Three fifths of the filters become the leading principal
    components scaled to unit variance, the others random directions among the trailing ones (compare the whitening
    layer of Page and of Jordan's fast CIFAR training). The norms that follow would hide how strong a patch's contrast
    is; a constant vector in the position embedding keeps that visible.
    """
    conv = model.visual.conv1
    width, _, patch, _ = conv.weight.shape
    rows = []
    for picture in pictures:
        height, breadth = (side // patch * patch for side in picture.shape[:2])
        tensor = torch.from_numpy(np.ascontiguousarray(picture[:height, :breadth, :3])).permute(2, 0, 1)[None].float()
        columns = F.unfold(normalise(tensor / 255), patch, stride=patch)[0].T
        rows.append(columns[torch.from_numpy(rng.permutation(len(columns))[:40])])
    sample = torch.cat(rows)
    values, vectors = torch.linalg.eigh(sample.T @ sample / len(sample))
    values, vectors = values.flip(0), vectors.flip(1).T
    leading = width * 3 // 5
    noise_floor = 0.005
    head = vectors[:leading] / (values[:leading, None] + noise_floor).sqrt()
    mix = torch.from_numpy(rng.standard_normal((width - leading, len(values) - leading))).float()
    tail = F.normalize(mix @ vectors[leading:], dim=1) / (values[leading:].mean() + noise_floor).sqrt()
    with torch.no_grad():
        conv.weight.copy_(0.5 * torch.cat([head, tail]).view_as(conv.weight))
        constant = torch.from_numpy(rng.normal(0, 0.5, width)).float()
        model.visual.positional_embedding += constant.to(conv.weight.device)
