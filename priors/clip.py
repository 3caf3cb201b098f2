"""Any CLIP as a prior: pictures, patches and texts in one space, each encoded separately and only once.

Example:
    >>> prior = load()                                                       # doctest: +SKIP
    >>> features = prior.encode_image(picture.to_tensor())                   # doctest: +SKIP
    >>> cosines = features @ prior.encode_text(["a hazy photo", "a clear photo"]).T   # doctest: +SKIP
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from errors import PromptError
from images import check_batch
from priors import dense, sources, text_tower
from priors.preprocess import Preprocess

MINIMUM_GRID, MAXIMUM_GRID = 2, 128
KEPT_TEXTS = 1024
"""Features of texts that a prior remembers; the one encoded longest ago goes first."""


class ClipPrior:
    """A frozen CLIP.

    Attributes:
        name: how it was asked for.
        sha256: of its weights.
        preprocess: resize mode, size, mean and deviation.
        logit_scale: what cosines are multiplied with before a softmax.
        device: where it runs.
    """

    def __init__(self, loaded: sources.Loaded, device: str | torch.device | None = None) -> None:
        self.name, self.sha256 = loaded.name, loaded.sha256
        self.device = torch.device(device or "cpu")
        self.model = loaded.model.to(self.device)
        self.tokenizer = loaded.tokenizer
        self.preprocess = Preprocess.of(loaded.model.visual.preprocess_cfg)
        self.logit_scale = float(loaded.model.logit_scale.exp())
        self._texts: dict[str, Tensor] = {}

    @property
    def patch_size(self) -> int | None:
        """Side of a patch in pixels of the tower's input, or None when it has no patches that words can read."""
        visual = self.model.visual
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
        plain = blocks is not None and isinstance(getattr(blocks[-1], "attn", None), torch.nn.MultiheadAttention)
        if not plain or getattr(visual, "attn_pool", None) is not None or visual.proj is None:
            return None
        return visual.patch_size[0] if visual.patch_size[0] == visual.patch_size[1] else None

    def encode_image(self, batch: Tensor) -> Tensor:
        """Pooled features of pictures, by the model's own preprocessing.

        Args:
            batch: (N,3,H,W) in [0,1]; gradients flow when it requires them.

        Returns:
            (N,D) normalised.
        """
        check_batch(batch)
        with torch.set_grad_enabled(torch.is_grad_enabled() and batch.requires_grad):
            return F.normalize(self.model.encode_image(self.preprocess(batch.to(self.device))), dim=-1)

    def encode_patches(self, batch: Tensor, grid: tuple[int, int] | int | None = None) -> Tensor:
        """Patch features by the value path of the last block (see ``priors.dense``).

        Args:
            batch: (N,3,H,W) in [0,1].
            grid: (rows, columns), patches along the short side, or None for the model's native number there.

        Returns:
            (N,D,rows,columns) normalised.

        Raises:
            PromptError: the image tower is no plain vision transformer.
        """
        check_batch(batch)
        self.require_patches()
        rows, columns = grid if isinstance(grid, tuple) else self.grid_for(*batch.shape[-2:], short=grid)
        size = (rows * self.patch_size, columns * self.patch_size)
        with torch.set_grad_enabled(torch.is_grad_enabled() and batch.requires_grad):
            x = self.preprocess.normalise(self.preprocess.resize(batch.to(self.device), size))
            return F.normalize(dense.encode(self.model.visual, x).patches, dim=1)

    def require_patches(self) -> None:
        """Raise PromptError for an image tower without patch features."""
        if self.patch_size is None:
            raise PromptError(f"{self.name} has no patch features that can be compared with words; use the tile route.")

    def grid_for(self, height: int, width: int, short: int | None = None) -> tuple[int, int]:
        """Rows and columns of square patches that follow a picture's aspect.

        Args:
            height: of the picture.
            width: of the picture.
            short: patches along the short side; None is the model's native number.
        """
        short = short or min(self.preprocess.size) // (self.patch_size or 1)
        if not MINIMUM_GRID <= short <= MAXIMUM_GRID:
            raise PromptError(f"A grid of {short} patches is out of range; {MINIMUM_GRID} to {MAXIMUM_GRID} work.")
        long = min(MAXIMUM_GRID * 2, round(short * max(height, width) / min(height, width)))
        return (short, long) if height <= width else (long, short)

    def encode_text(self, texts: list[str]) -> Tensor:
        """Features of texts; each text is encoded once and remembered for a while.

        Returns:
            (T,D) normalised.
        """
        known = self._texts
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            with torch.inference_mode(False), torch.no_grad():
                features = F.normalize(self.model.encode_text(self.tokenizer(missing).to(self.device)), dim=-1)
            known = {**known, **dict(zip(missing, features, strict=True))}
            self._texts = dict(list(known.items())[-KEPT_TEXTS:])
        return torch.stack([known[text] for text in texts])

    def encode_context(self, context: Tensor, words: str) -> Tensor:
        """Feature of ``[context vectors] words``; gradients flow to the context.

        Args:
            context: (n,width) learned vectors that stand between the start token and the words.
            words: ordinary text after them.

        Returns:
            (D,) normalised.

        Raises:
            PromptError: the vectors are another model's, or context and words do not fit the context length.
        """
        if context.ndim != 2 or context.shape[1] != text_tower.width(self.model):
            raise PromptError(
                f"The learned prompt has vectors of {context.shape[-1]} numbers, {self.name} needs "
                f"{text_tower.width(self.model)}; it was learned for another model."
            )
        ids = self.tokenizer([words])[0]
        end = int(ids.argmax())
        if end + 1 + len(context) > len(ids):
            raise PromptError(
                f"{len(context)} context vectors and {words!r} are more than the {len(ids)} tokens of {self.name}."
            )
        embedded = text_tower.embed(self.model, ids[: end + 1].to(self.device))
        sequence = torch.cat([embedded[:1], context.to(embedded), embedded[1:]])
        position = torch.tensor([end + len(context)], device=self.device)
        return text_tower.encode(self.model, sequence[None], position)[0]


def load(name: str = "embedded", *, device: str | None = None) -> ClipPrior:
    """Load a CLIP; the last two stay in memory.

    Args:
        name: ``embedded``, ``local-dir:FOLDER``, ``hf-hub:ORG/NAME`` or ``NAME:TAG``.
        device: "cpu", "cuda", ...; None is the CPU.

    Raises:
        UsageError: the name has none of these forms, or open_clip knows no such model.
        PromptError: the weights cannot be had, are damaged, or do not fit; never a random network.
    """
    where = torch.device(device or "cpu")
    if where.type == "cuda" and where.index is None:
        where = torch.device("cuda", torch.cuda.current_device())
    return _loaded(name, str(where))


@lru_cache(maxsize=2)
def _loaded(name: str, device: str) -> ClipPrior:
    """One model for all the ways in which a device can be named."""
    # A model that is first asked for while a picture is restored must still serve training afterwards.
    with torch.inference_mode(False):
        return ClipPrior(sources.load(name), device)
