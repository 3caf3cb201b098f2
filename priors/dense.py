"""Patch features of a CLIP vision transformer that can be compared with words.

The last block's output at a patch has been mixed for the class token's needs and is badly aligned with text. Its
value path is not: apply the attention's value and output projections without query-key mixing, then the final
norm and the visual projection (Zhou, Loy, Dai, "Extract Free Dense Labels from CLIP", ECCV 2022). The position
embedding is interpolated, so the grid follows the size and shape of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, cat

if TYPE_CHECKING:
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer


@dataclass(frozen=True)
class Encoded:
    """What one pass of the image tower gives, not normalised.

    Attributes:
        picture: (N,D), the pooled feature, equal to ``visual(x)`` at the native size.
        patches: (N,D,h,w), the value-path features.
    """

    picture: Tensor
    patches: Tensor


def interpolate_positions(embedding: Tensor, native: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Resize a (1 + h*w, width) position embedding from the native grid to another one.

    Returns:
        (1 + rows*columns, width); the class token's row is untouched, the native grid gives the same tensor back.
    """
    if grid == native:
        return embedding
    table = embedding[1:].T.reshape(1, -1, *native).float()
    table = F.interpolate(table, grid, mode="bicubic", align_corners=False, antialias=True)
    return cat([embedding[:1], table.flatten(2)[0].T.to(embedding.dtype)])


def encode(visual: VisionTransformer, x: Tensor) -> Encoded:
    """Run the tower once and read out both the picture's and the patches' features.

    Args:
        visual: an open_clip vision transformer with ordinary blocks and class-token or mean pooling.
        x: (N,3,H,W), normalised as the model expects; H and W multiples of its patch size.
    """
    x = visual.conv1(x)
    grid = tuple(x.shape[-2:])
    x = x.flatten(2).transpose(1, 2)
    x = cat([visual.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], 1)
    x = visual.ln_pre(x + interpolate_positions(visual.positional_embedding, visual.grid_size, grid).to(x.dtype))
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)

    normed = last.ln_1(x)
    attention = last.attn
    width = attention.embed_dim
    values = F.linear(normed, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    patches = visual.ln_post(attention.out_proj(values[:, 1:])) @ visual.proj

    mixed = _at_class_token(last, x, normed, values) if visual.pool_type == "tok" else last(x)
    picture, _ = visual._pool(mixed)
    return Encoded(picture @ visual.proj, patches.transpose(1, 2).unflatten(2, grid))


def _at_class_token(block: ResidualAttentionBlock, x: Tensor, normed: Tensor, values: Tensor) -> Tensor:
    """The block's output at the class token alone, (N,1,width): nothing else of the last block is ever read."""
    attention = block.attn
    width = attention.embed_dim
    weights, biases = attention.in_proj_weight, attention.in_proj_bias
    query = F.linear(normed[:, :1], weights[:width], biases[:width])
    keys = F.linear(normed, weights[width : 2 * width], biases[width : 2 * width])
    heads = (t.unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for t in (query, keys, values))
    mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    x = x[:, :1] + block.ls_1(attention.out_proj(mixed))
    return x + block.ls_2(block.mlp(block.ln_2(x)))
