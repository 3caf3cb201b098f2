"""The embedded haze CLIP: a compact image tower and text tower, trained on words for what goes wrong with pictures.

Five losses on one forward pass (all with CLIP's own convention, ``softmax(logit_scale * cos)``):

* contrastive: every picture has a caption made from its true labels; all captions whose claims hold for a picture are
  its positives, ambiguous ones are left out, in both directions (SupCon-style soft targets);
* pairs: for every degradation, random words for it against random words for its absence must classify the pictures;
* dense: the value-path patch features, compared with haze words against clear words, must give the true ``1 - t``, and
  (order) must rise and fall with it within each picture, where differences are small beside those between pictures;
* tiles: so must the scores of tight crops of one scene, each judged as a whole picture.

The text tower is narrow and has CLIP's whole vocabulary; the embeddings of tokens that no training caption can contain
are zero, so unknown words are neutral, and are not even held in memory while training.

Run: ``python -m training fit training/recipes/haze_clip.yaml --data ROOT --output RUN`` (resumes by itself). It has a
loop of its own because it trains no restorer: nothing of PSNR, pairs or cards applies.
"""

from __future__ import annotations

import csv
import json
import math
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from errors import UnknownNameError, UsageError
from priors import dense
from training import captions
from training.haze_batches import Batch, Sampler, open_pools, patch_density
from training.muon import Muon
from training.recipe import check_manifest

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
MAXIMUM_LOGIT_SCALE = math.log(100)


TASK = "haze_clip"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run does.

    A stage lasts ``until`` a step and has ``grids`` of [rows, columns, pictures] to draw from; it may change loss
    ``weights``, the ``sampler``'s shares and the decay ``ema`` of the weights' average, and have a ``rate`` of its own
    that falls over ``cosine`` steps (its length unless given). The recipe's ``cosine`` is the length of the first
    schedule.
    """

    model: dict
    steps: int
    stages: tuple[dict, ...]
    learning_rate: float = 1e-3
    cosine: int = 0
    weight_decay: float = 0.05
    warmup: int = 200
    ema: float = 0.998
    seed: int = 7
    captions_per_pole: int = 5
    haze_texts: int = 8
    weights: dict = field(
        default_factory=lambda: {
            "contrastive": 0.5,
            "haze": 1.0,
            "pairs": 1.0,
            "dense": 2.0,
            "order": 0.0,
            "tiles": 0.0,
        }
    )
    validate_every: int = 500
    save_every: int = 200
    name: str = TASK
    task: str = TASK
    manifest: dict = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a YAML recipe."""
        return cls(**yaml.safe_load(path.read_text()))

    def stage(self, step: int) -> dict:
        """The stage (batch size and patch grids) that a step belongs to."""
        return next(s for s in self.stages if step < s["until"])


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


def build_model(config: dict, words: Words) -> nn.Module:
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


class Task:
    """The model, its batches and its loss: what a training loop needs to know.

    Raises:
        SetError: the data is not there, or not what the recipe was written for.
    """

    def __init__(self, recipe: Recipe, root: Path, cache: Path, device: str = "cpu") -> None:
        self.recipe, self.device = recipe, torch.device(device)
        torch.manual_seed(recipe.seed)
        self.words = Words(recipe.model["text_cfg"]["context_length"])
        self.model = build_model(recipe.model, self.words)
        check_manifest(recipe, root)
        pools = open_pools(root, cache, validation=False)
        self.sampler = Sampler(pools, recipe.seed)
        self.model.to(self.device)
        self.root, self.cache = root, cache

    def start_filters(self) -> None:
        """Give a fresh model filters from photographs (see ``whiten_patches``)."""
        pools = self.sampler.pools
        photographs = [*(pools.photographs[i] for i in range(0, len(pools.photographs), 2))]
        photographs += [pools.nyu[i] for i in range(0, len(pools.nyu), 8)]
        whiten_patches(self.model, photographs, np.random.default_rng(self.recipe.seed))

    def batch(self, step: int) -> Batch:
        """The batch of a step; the patch grid is drawn from those of the stage."""
        stage = self.recipe.stage(step)
        rows, columns, count = random.Random(f"{self.recipe.seed}/{step}").choice(stage["grids"])
        patch = self.recipe.model["vision_cfg"]["patch_size"]
        return self.sampler.batch(step, count, (rows * patch, columns * patch), **stage.get("sampler", {}))

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Total loss and its parts."""
        draw = random.Random(f"{self.recipe.seed}/{step}/words")
        batch = Batch(*(getattr(batch, f.name).to(self.device) for f in fields(batch)))
        encoded = dense.encode(self.model.visual, normalise(batch.pixels))
        picture = F.normalize(encoded.picture, dim=-1)
        patches = F.normalize(encoded.patches, dim=1).flatten(2).transpose(1, 2)
        scale = self.model.logit_scale.exp()

        said = [caption_of(batch.labels[i], int(batch.kinds[i]), draw) for i in range(len(picture))]
        pairs = {name: self._pair_texts(name, draw) for name in (*captions.CONCEPTS, "clean")}
        labels = torch.cat([batch.labels, batch.labels.amax(1, keepdim=True)], 1)
        texts = [text for text, *_ in said] + [t for pos, neg in pairs.values() for t, _ in (*pos, *neg)]
        text = encode_text(self.model, self.words(texts).to(self.device))

        parts = {"contrastive": contrastive_loss(scale * picture @ text[: len(said)].T, said, batch)}
        start, pair_losses = len(said), []
        for index, (name, (positive, negative)) in enumerate(pairs.items()):
            ends = text[start : start + len(positive)], text[start + len(positive) :][: len(negative)]
            start += len(positive) + len(negative)
            fits = _kind_fits([kind for _, kind in positive], batch.kinds)
            term = pair_loss(picture, *ends, scale, labels[:, index], fits)
            if name == "haze":
                parts["haze"] = term
                target = patch_density(batch.density, encoded.patches.shape[-2:])
                parts["dense"] = dense_loss(patches, *ends, scale, target, fits)
                direction = ends[0].mean(0) - ends[1].mean(0)
                parts["order"] = order_loss(patches @ direction, target)
                parts["tiles"] = tile_loss(picture @ direction, target.mean(1), batch.scene)
            else:
                pair_losses.append(term)
        parts["pairs"] = torch.stack(pair_losses).mean()
        weights = {**self.recipe.weights, **self.recipe.stage(step).get("weights", {})}
        total = sum(weights[name] * value for name, value in parts.items())
        return total, {name: float(value.detach()) for name, value in parts.items()}

    def _pair_texts(self, concept: str, draw: random.Random) -> tuple[list, list]:
        count = self.recipe.haze_texts if concept == "haze" else self.recipe.captions_per_pole
        if concept == "clean":
            return tuple(captions.draw_phrases("clean", good, count, draw) for good in (False, True))
        # "clear image" must work against every degradation, so general words for quality stand among the negatives.
        general = max(1, count // 4)
        negative = captions.draw_phrases(concept, False, count - general, draw)
        negative += captions.draw_phrases("clean", True, general, draw)
        return captions.draw_phrases(concept, True, count, draw), negative


@dataclass(frozen=True)
class Claim:
    """What a caption says: the concepts present and absent, and the kind of haze or ""."""

    present: tuple[int, ...]
    absent: tuple[int, ...]
    kind: str


def caption_of(labels: Tensor, kind: int, draw: random.Random) -> tuple[str, Claim]:
    """A true caption of a picture: one or two of its degradations, the absence of one, or its cleanness."""
    present = [i for i, value in enumerate(labels.tolist()) if value >= 0.5]
    if not present:
        faint = bool((labels > 0.1).any())
        if draw.random() < 0.6 and not faint:
            text, _ = captions.draw_phrases("clean", True, 1, draw)[0]
            return text, Claim((), tuple(range(len(captions.CONCEPTS))), "")
        absent = draw.choice([i for i, value in enumerate(labels.tolist()) if value < 0.1])
        text, _ = captions.draw_phrases(captions.CONCEPTS[absent], False, 1, draw)[0]
        return text, Claim((), (absent,), "")
    chosen = draw.sample(present, min(len(present), draw.choice((1, 1, 2))))
    kinds_said, texts = "", []
    for index in chosen:
        text, said = captions.draw_phrases(captions.CONCEPTS[index], True, 1, draw)[0]
        if said and said != captions.HAZE_KINDS[kind]:
            fitting = [p for p in captions.find("haze", True) if p.kind in ("", captions.HAZE_KINDS[kind])]
            phrase, adjective = draw.choice(draw.choice(fitting).phrases(held_out=False))
            text, said = captions.compose(phrase, adjective, draw), ""
        kinds_said = kinds_said or said
        texts.append(text)
    return draw.choice((" and ", ", ")).join(texts), Claim(tuple(chosen), (), kinds_said)


def contrastive_loss(logits: Tensor, said: list[tuple[str, Claim]], batch: Batch) -> Tensor:
    """Multi-positive contrastive loss, both directions; pairs that are neither true nor false are left out.

    Args:
        logits: (pictures, captions).
        said: the captions' claims.
        batch: labels and kinds of the pictures.
    """
    true = torch.ones_like(logits, dtype=torch.bool)
    false = torch.zeros_like(true)
    for j, (_, claim) in enumerate(said):
        for i in claim.present:
            true[:, j] &= batch.labels[:, i] >= 0.5
            false[:, j] |= batch.labels[:, i] < 0.1
        for i in claim.absent:
            true[:, j] &= batch.labels[:, i] < 0.1
            false[:, j] |= batch.labels[:, i] >= 0.5
        if claim.kind:
            true[:, j] &= _kind_fits([claim.kind], batch.kinds)[:, 0]
    logits = logits.masked_fill(~(true | false), -1e4)
    total = logits.new_zeros(())
    for scores, target in ((logits, true), (logits.T, true.T)):
        weight = target.float() / target.sum(1, keepdim=True).clamp_min(1)
        rows = target.any(1)
        total = total - 0.5 * (weight * scores.log_softmax(1)).sum(1)[rows].mean()
    return total


def pair_loss(
    picture: Tensor, positive: Tensor, negative: Tensor, scale: Tensor, label: Tensor, fits: Tensor
) -> Tensor:
    """Cross-entropy of every positive text against every negative one.

    Args:
        picture: (N,D) normalised.
        positive: (P,D) texts that say the degradation is there.
        negative: (Q,D) texts that say it is not.
        scale: logit scale.
        label: (N,) in [0,1].
        fits: (N,P) which positive texts can be judged on which picture.
    """
    logits = scale * ((picture @ positive.T)[:, :, None] - (picture @ negative.T)[:, None, :])
    target = label[:, None, None].expand_as(logits)
    # Absence is far commoner than presence: weigh both ends the same.
    balance = torch.where(
        label > 0.5, 0.5 / (label > 0.5).float().mean().clamp_min(0.02), 0.5 / (label <= 0.5).float().mean()
    )
    weight = (fits.float() * balance[:, None])[:, :, None]
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * weight).mean() / weight.mean()


def dense_loss(
    patches: Tensor, positive: Tensor, negative: Tensor, scale: Tensor, target: Tensor, fits: Tensor
) -> Tensor:
    """Divergence of the patches' haze probability from the true ``1 - t``, over all pairs of texts.

    Args:
        patches: (N,L,D) normalised.
        positive: (P,D) haze texts.
        negative: (Q,D) clear texts.
        scale: logit scale.
        target: (N,L) mean ``1 - t`` of each patch.
        fits: (N,P), see ``pair_loss``.
    """
    logits = scale * ((patches @ positive.T)[..., :, None] - (patches @ negative.T)[..., None, :])
    goal = target[:, :, None, None].expand_as(logits)
    weight = fits.float()[:, None, :, None]
    loss = F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    clamped = target.clamp(1e-4, 1 - 1e-4)
    entropy = -(clamped * clamped.log() + (1 - clamped) * (1 - clamped).log())
    return ((loss - entropy[:, :, None, None]) * weight).mean() / weight.mean()


def order_loss(score: Tensor, target: Tensor, least: float = 0.015) -> Tensor:
    """One minus the correlation of patch scores with the true density inside each picture.

    Args:
        score: (N,L) haze logits of patches, any scale.
        target: (N,L) true ``1 - t``.
        least: pictures whose density deviates less than this are left out.
    """
    chosen = target.std(1) > least
    if not chosen.any():
        return score.sum() * 0.0
    a, b = (v[chosen] - v[chosen].mean(1, keepdim=True) for v in (score, target))
    return 1 - F.cosine_similarity(a, b, dim=1).mean()


def tile_loss(score: Tensor, target: Tensor, scene: Tensor) -> Tensor:
    """One minus the correlation of tiles' scores with their mean density, both less their scene's mean.

    Args:
        score: (N,) haze logits of pictures, any scale.
        target: (N,) their mean ``1 - t``.
        scene: (N,) which scene a tile is of, -1 for pictures that are no tiles.
    """
    chosen = scene >= 0
    if not chosen.any():
        return score.sum() * 0.0
    member = F.one_hot(scene[chosen]).float()
    mean = member / member.sum(0)
    a, b = (v[chosen] - member @ (mean.T @ v[chosen]) for v in (score, target))
    return 1 - F.cosine_similarity(a, b, dim=0)


def _kind_fits(said: list[str], kinds: Tensor) -> Tensor:
    """(N,P): words without a kind fit every picture, words with one fit clear pictures and those of that kind.

    Fog and haze are one thing in different strength: "foggy" fits both.
    """
    fits = torch.ones(len(kinds), len(said), dtype=torch.bool, device=kinds.device)
    for j, kind in enumerate(said):
        if kind:
            allowed = {"fog": (0, 1)}.get(kind, (captions.HAZE_KINDS.index(kind),))
            fits[:, j] = kinds < 0
            for index in allowed:
                fits[:, j] |= kinds == index
    return fits


def create_optimizers(model: nn.Module, weight_decay: float, kind: str) -> list[torch.optim.Optimizer]:
    """One optimiser or two; groups have a ``share``, by which the rate of the stage is multiplied.

    Matrices only decay: no norms, biases, embeddings or the logit scale.

    Args:
        model: what to train.
        weight_decay: of the matrices.
        kind: ``adamw``, or ``muon``: matrices inside the towers' blocks by Muon, everything else by AdamW.

    Raises:
        UnknownNameError: another kind.
    """
    if kind not in ("adamw", "muon"):
        raise UnknownNameError("optimizer", kind, ("adamw", "muon"))
    inner, matrices, plain = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or "embedding" in name:
            plain.append(parameter)
        elif kind == "muon" and "resblocks" in name:
            inner.append(parameter)
        else:
            matrices.append(parameter)
    share = 1.0 if kind == "adamw" else 0.3
    groups = [
        {"params": matrices, "weight_decay": weight_decay, "share": share},
        {"params": plain, "weight_decay": 0.0, "share": share},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8)]
    if inner:
        blocks = [{"params": inner, "share": 1.0}]
        optimizers.append(Muon(blocks, weight_decay=weight_decay))
    return optimizers


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to one percent; a stage with its own ``rate`` has its own cosine."""
    stage = recipe.stage(step)
    if "rate" in stage:
        begin = max([s["until"] for s in recipe.stages if s["until"] <= step], default=0)
        progress = (step - begin) / stage.get("cosine", stage["until"] - begin)
        rise = min((step - begin + 1) / stage.get("warmup", 1), 1.0)
        return stage["rate"] * rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, (recipe.cosine or recipe.steps) - recipe.warmup)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def run(
    path: Path,
    data: Path,
    output: Path,
    cache: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    steps: int | None = None,
) -> None:
    """Train by a recipe file: ``python -m training fit``.

    Args:
        path: the recipe.
        data: folder of the tars.
        output: folder of the run.
        cache: folder of the packed pictures.
        device: "cpu" or "cuda".
        resume: go on with the run in ``output``; without it a folder that holds one is refused.
        steps: stop after so many in place of the recipe's; the schedule stays.

    Raises:
        UsageError: the folder holds a run, or more steps are asked for than the stages have.
        SetError: the data is not there or is other data.
    """
    recipe = Recipe.load(path)
    if (output / "last.pt").exists() and not resume:
        raise UsageError(f"{output} holds a run already; add --resume to go on with it, or name another --output.")
    if steps is not None and not 1 <= steps <= recipe.steps:
        raise UsageError(f"The stages of {path.name} have {recipe.steps} steps; --steps {steps} does not fit.")
    # A shortened run follows the first part of the long one.
    whole = replace(recipe, cosine=recipe.cosine or recipe.steps)
    fit(Task(replace(whole, steps=steps or recipe.steps), data, cache, device), output)


def fit(task: Task, output: Path) -> None:
    """Train to the recipe's last step, resuming from ``output/last.pt`` when it is there."""
    recipe, model = task.recipe, task.model
    last, start = output / "last.pt", 0
    kind, optimizers = "", []
    if not last.exists():
        task.start_filters()
    average = {name: value.clone() for name, value in model.state_dict().items()}
    output.mkdir(parents=True, exist_ok=True)
    if last.exists():
        saved = torch.load(last, weights_only=True, map_location=task.device)
        model.load_state_dict(saved["model"])
        average, start = saved["average"], saved["step"]
        kind = saved["kind"]
        optimizers = create_optimizers(model, recipe.weight_decay, kind)
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)

    def save(step: int) -> None:
        partial = last.with_suffix(".partial")
        states = [optimizer.state_dict() for optimizer in optimizers]
        state = {"model": model.state_dict(), "kind": kind, "optimizers": states, "average": average, "step": step}
        torch.save(state, partial)
        partial.replace(last)

    recent: dict[str, list[float]] = {}
    began = time.perf_counter()
    for step in range(start, recipe.steps):
        wanted = recipe.stage(step).get("optimizer", "adamw")
        if wanted != kind:
            kind, optimizers = wanted, create_optimizers(model, recipe.weight_decay, wanted)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * learning_rate(step, recipe)
        total, parts = task.loss(task.batch(step), step)
        model.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, MAXIMUM_LOGIT_SCALE)
            decay = min(recipe.stage(step).get("ema", recipe.ema), (1 + step) / (10 + step))
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        for name, value in {**parts, "total": float(total.detach()), "norm": float(norm)}.items():
            recent.setdefault(name, []).append(value)
        done = step + 1
        if done % 20 == 0:
            scale = float(model.logit_scale.detach().exp())
            row = {"step": done, **{n: float(np.mean(v)) for n, v in recent.items()}, "scale": scale,
                   "rate": learning_rate(step, recipe), "seconds": time.perf_counter() - began}  # fmt: skip
            append_row(output / "loss.csv", row)
            recent = {}
        if done % recipe.save_every == 0 or done == recipe.steps:
            save(done)
        if done % recipe.validate_every == 0 or done == recipe.steps:
            from training.haze_clip_validation import validate

            figures = validate(average, task)
            append_row(output / "validation.csv", {"step": done, **figures})
            print(json.dumps({"step": done, **figures}), flush=True)


def append_row(path: Path, row: dict[str, float]) -> None:
    """Append to a CSV whose header is the first row's keys."""
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        if new:
            writer.writeheader()
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
