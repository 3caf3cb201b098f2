"""Learned prompts: context vectors instead of words, from two folders of pictures.

Each end of the pair is ``[v1 ... vn] words``: n learnable token embeddings in front of ordinary words, through the
frozen text tower (CoOp: Zhou et al., IJCV 2022; for hazy/clear pairs: CLIP-LIT, Liang et al., ICCV 2023). Pictures are
encoded once, whole and as crops, so that prompts do not key on layout; after that a step costs one pass of the text
tower over two short texts. With a few dozen pictures vectors could memorise them, so a second term holds the learned
features near those of the words they started from (KgCoOp: Yao et al., CVPR 2023).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from errors import ImageError, PromptError
from images import Picture, read_picture
from priors import text_tower
from priors.prompts import PromptSet, end_features

if TYPE_CHECKING:
    from priors.clip import ClipPrior

FORMAT = "learned-prompts/1"
MINIMUM_PICTURES = 2
_FACTS = {"name": str, "positives": list, "negatives": list, "pictures": list, "prior": str, "prior_sha256": str}
"""What a file must say about its vectors."""


@dataclass(frozen=True)
class Settings:
    """How prompts are learned.

    Attributes:
        context: learned vectors per end.
        steps: full-batch Adam steps.
        rate: peak learning rate, falling to zero along a cosine.
        anchor: weight of staying near the starting words.
        views: crops per picture beside the whole one.
        seed: of initial vectors and crops.
    """

    context: int = 8
    steps: int = 200
    rate: float = 0.01
    anchor: float = 2.0
    views: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class LearnedPrompts:
    """Context vectors and where they come from.

    Attributes:
        prompts: the set they started from; its first words are kept at the end of each context.
        positive: (n,width) vectors.
        negative: (n,width) vectors.
        curve: loss per step.
        prior: name of the model.
        prior_sha256: hash of its weights; the vectors mean nothing to another one.
        pictures: numbers of positive and negative pictures.
        skipped: one sentence for each picture that could not be read.
    """

    prompts: PromptSet
    positive: Tensor
    negative: Tensor
    curve: tuple[float, ...]
    prior: str
    prior_sha256: str
    pictures: tuple[int, int]
    skipped: tuple[str, ...] = ()

    def save(self, path: str | Path) -> PromptSet:
        """Write a safetensors file and return the set that refers to it.

        Raises:
            PromptError: the name does not end in .safetensors.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise PromptError(f"Learned prompts are saved as .safetensors, not {path.name!r}.")
        facts = {
            "name": path.stem, "positives": self.prompts.positives[:1], "negatives": self.prompts.negatives[:1],
            "prior": self.prior, "prior_sha256": self.prior_sha256, "pictures": self.pictures,
            "curve": [round(value, 6) for value in self.curve],
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"positive": self.positive.contiguous(), "negative": self.negative.contiguous()}
        save_file(tensors, str(path), {"format": FORMAT, "facts": json.dumps(facts)})
        return load(path)


def learn(
    prior: ClipPrior,
    positives: Sequence[Picture | Path],
    negatives: Sequence[Picture | Path],
    *,
    start: PromptSet,
    settings: Settings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LearnedPrompts:
    """Learn a pair of prompts that tells two sets of pictures apart.

    Args:
        prior: the frozen model.
        positives: pictures that have the degradation, at least two. Files are read one at a time, and one that cannot
            be read is skipped and reported.
        negatives: pictures that have not.
        start: words to start from and to stay near.
        settings: see ``Settings``.
        progress: called with (pictures done, pictures in all).

    Raises:
        PromptError: too few pictures, or a text tower that cannot take vectors.
    """
    settings = settings or Settings()
    _check_counts(len(positives), len(negatives))
    rng = np.random.default_rng(settings.seed)
    features, labels, skipped = [], [], []
    counts = [0, 0]
    total = len(positives) + len(negatives)
    for index, source in enumerate([*positives, *negatives]):
        end = int(index >= len(positives))
        try:
            picture = source if isinstance(source, Picture) else read_picture(source)
        except ImageError as error:
            skipped.append(str(error))
        else:
            views = _views(prior, picture, settings.views, rng)
            features.append(views)
            labels += [1.0 - end] * len(views)
            counts[end] += 1
        if progress:
            progress(index + 1, total)
    _check_counts(*counts, *skipped[:2])
    learned = learn_from_features(
        prior, torch.cat(features), torch.tensor(labels), start=start, settings=settings, pictures=tuple(counts)
    )
    return replace(learned, skipped=tuple(skipped))


def _check_counts(positives: int, negatives: int, *skipped: str) -> None:
    if min(positives, negatives) < MINIMUM_PICTURES:
        said = f"Learning needs at least {MINIMUM_PICTURES} pictures a side, got {positives} and {negatives}."
        raise PromptError(" ".join([said, *skipped]))


def learn_from_features(
    prior: ClipPrior,
    features: Tensor,
    labels: Tensor,
    *,
    start: PromptSet,
    settings: Settings | None = None,
    pictures: tuple[int, int] | None = None,
) -> LearnedPrompts:
    """``learn`` for features that are already encoded.

    Args:
        prior: the frozen model.
        features: (N,D) normalised picture features.
        labels: (N,) 1 for pictures with the degradation, 0 without.
        start: words to start from.
        settings: see ``Settings``.
        pictures: numbers of pictures behind the features, for the record.
    """
    settings = settings or Settings()
    generator = torch.Generator().manual_seed(settings.seed)
    shape = (2, settings.context, text_tower.width(prior.model))
    context = (0.02 * torch.randn(shape, generator=generator)).to(prior.device).requires_grad_()
    anchor = end_features(prior, start).detach().clone()
    features, labels = features.detach().clone().to(prior.device), labels.to(prior.device)
    balance = torch.where(labels > 0.5, 0.5 / (labels > 0.5).float().mean(), 0.5 / (labels <= 0.5).float().mean())
    optimizer = torch.optim.Adam([context], settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    curve = []
    for _ in range(settings.steps):
        ends = _ends(prior, context, start)
        logits = prior.logit_scale * (features @ (ends[0] - ends[1]))
        fit = (balance * F.binary_cross_entropy_with_logits(logits, labels, reduction="none")).mean()
        loss = fit + settings.anchor * (1 - (ends * anchor).sum(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        curve.append(float(loss.detach()))
    vectors = context.detach().cpu()
    counts = pictures or (int((labels > 0.5).sum()), int((labels <= 0.5).sum()))
    return LearnedPrompts(start, vectors[0], vectors[1], tuple(curve), prior.name, prior.sha256, counts)


def load(path: str | Path) -> PromptSet:
    """A learned file as a prompt set that works wherever a written one does.

    Raises:
        PromptError: no such file, or not one that ``learn`` wrote.
    """
    facts, _ = _read(Path(path))
    return PromptSet(
        facts["name"], tuple(facts["positives"]), tuple(facts["negatives"]), learned=str(path),
        note=f"learned from {facts['pictures'][0]} + {facts['pictures'][1]} pictures on {facts['prior']}",
    )  # fmt: skip


def context_features(prior: ClipPrior, prompts: PromptSet) -> tuple[Tensor, Tensor]:
    """(1,D) and (1,D) features of a learned set.

    Raises:
        PromptError: the set was learned on another model.
    """
    path = Path(prompts.learned)
    if not path.is_file():
        raise PromptError(f"The learned prompts {path} are gone; learn them again or choose another set.")
    return _encoded(ref(prior), str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _encoded(model: ref[ClipPrior], path: str, changed: int) -> tuple[Tensor, Tensor]:
    """Remembered without keeping the model in memory; ``priors.clip.load`` alone decides about that."""
    prior = model()
    facts, vectors = _read(Path(path))
    if facts["prior_sha256"] != prior.sha256:
        raise PromptError(
            f"{Path(path).name} was learned on {facts['prior']} ({facts['prior_sha256'][:12]}) and means nothing to "
            f"{prior.name} ({prior.sha256[:12]}); choose that model or learn again."
        )
    with torch.inference_mode(False), torch.no_grad():
        return tuple(
            prior.encode_context(vectors[end].to(prior.device), facts[f"{end}s"][0])[None]
            for end in ("positive", "negative")
        )


def _ends(prior: ClipPrior, context: Tensor, start: PromptSet) -> Tensor:
    words = (start.positives[0], start.negatives[0])
    return torch.stack([prior.encode_context(vectors, text) for vectors, text in zip(context, words, strict=True)])


def _views(prior: ClipPrior, picture: Picture, count: int, rng: np.random.Generator) -> Tensor:
    """(1 + count, D): the whole picture and random crops of half to all of its short side."""
    from priors.density import reduce_batch

    whole = reduce_batch(picture.to_tensor())
    height, width = whole.shape[-2:]
    views = [prior.encode_image(whole)]
    for _ in range(count):
        side = int(max(16, min(height, width) * rng.uniform(0.5, 1.0)))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        views.append(prior.encode_image(whole[..., top : top + side, left : left + side]))
    return torch.cat(views)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise PromptError(f"There are no learned prompts {path}.")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            vectors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise PromptError(f"{path} is not a safetensors file: {error}.") from None
    if metadata.get("format") != FORMAT or set(vectors) != {"positive", "negative"}:
        raise PromptError(f"{path} holds no learned prompts; 'python -m priors learn' writes them.")
    try:
        facts = json.loads(metadata["facts"])
        whole = all(facts[key] and isinstance(facts[key], kind) for key, kind in _FACTS.items())
        whole = whole and len(facts["pictures"]) == 2 and all(v.ndim == 2 for v in vectors.values())
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise PromptError(f"{path} is damaged: it does not say how its prompts were learned; learn them again.")
    return facts, vectors
