"""One pair under every protocol, and what explains the differences.

The commonest complaint about PSNR, SSIM and NIQE is that two tools give two numbers. Here both numbers appear side by
side, and each step from the primary protocol to another one is given a size in its own unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from errors import UnveilError
from eval import protocol as protocols
from eval.metrics.color import MATLAB_GREY_WEIGHTS, grey, luma
from eval.metrics.niqe import niqe
from eval.metrics.niqe_model import NiqeModel, resolve_model
from eval.metrics.ssim import SsimWindow
from eval.protocol import Protocol
from eval.scoring import Measurement, score
from images import Picture, to_8_bit

METRICS = ("psnr", "ssim", "niqe")


@dataclass(frozen=True)
class ProtocolScores:
    """The pair under one protocol.

    Attributes:
        protocol: The protocol, with the size policy that made the pair comparable.
        measurements: PSNR, SSIM and NIQE, in that order.
    """

    protocol: Protocol
    measurements: tuple[Measurement, ...]

    def value(self, metric: str) -> float | None:
        """The metric's value, None where it has none."""
        return next((m.value for m in self.measurements if m.metric == metric), None)


@dataclass(frozen=True)
class Effect:
    """What one choice does to one metric, everything else held.

    Attributes:
        metric: ``"psnr"``, ``"ssim"`` or ``"niqe"``.
        choice: The choice, as a clause.
        before: Value under the base protocol.
        after: Value with the choice changed.
        who: Where the changed choice is found.
    """

    metric: str
    choice: str
    before: float
    after: float
    who: str

    @property
    def change(self) -> float:
        """After minus before; zero where both are infinite."""
        return 0.0 if self.before == self.after else self.after - self.before


@dataclass(frozen=True)
class Diagnosis:
    """Everything the page shows.

    Attributes:
        scores: The pair under every preset.
        effects: What each single choice does, largest first within a metric.
        remarks: Sentences about the pair itself: sizes, sameness, range, JPEG, notes of the reader.
    """

    scores: tuple[ProtocolScores, ...]
    effects: tuple[Effect, ...]
    remarks: tuple[str, ...]


def diagnose(
    output: Picture,
    reference: Picture | None,
    *,
    size_policy: str | None = None,
    niqe_parameters: NiqeModel | str | Path | None = None,
) -> Diagnosis:
    """Score a pair under every protocol and take the differences apart.

    Args:
        output: The picture under test.
        reference: What it should look like; None leaves NIQE.
        size_policy: What to do where the sizes differ; default: ``sots-10px`` or ``modcrop`` where it fits, else
            ``center-crop``.
        niqe_parameters: A pristine model or its file.

    Raises:
        UnknownNameError: There is no such size policy.
    """
    remarks = list(_remarks(output, reference))
    policy = size_policy or _fitting_policy(output, reference)
    if policy and not size_policy:
        remarks.append(f"To be compared at all, the pair was aligned by {policy}; the default is to refuse.")
    scores = []
    for name in protocols.names():
        preset = protocols.get(f"{name}+{policy}" if policy else name)
        metrics = METRICS if reference is not None else ("niqe",)
        measured = score(output, reference, metrics, preset, niqe_parameters=niqe_parameters)
        scores.append(ProtocolScores(preset, tuple(measured)))
    effects: list[Effect] = []
    if reference is not None:
        base = f"{protocols.DEFAULT}+{policy}" if policy else protocols.DEFAULT
        effects += _full_reference_effects(output, reference, protocols.get(base))
    effects += _niqe_effects(output, niqe_parameters)
    order = {metric: i for i, metric in enumerate(METRICS)}
    effects.sort(key=lambda e: (order[e.metric], -abs(e.change)))
    return Diagnosis(tuple(scores), tuple(effects), tuple(remarks))


def _fitting_policy(output: Picture, reference: Picture | None) -> str | None:
    if reference is None or output.pixels.shape == reference.pixels.shape:
        return None
    extra = (reference.height - output.height, reference.width - output.width)
    if extra == (20, 20):
        return "sots-10px"
    return "modcrop" if max(map(abs, extra)) <= protocols.MODCROP else "center-crop"


def _remarks(output: Picture, reference: Picture | None) -> list[str]:
    remarks = []
    for role, picture in (("output", output), ("reference", reference)):
        if picture is None:
            continue
        remarks += [f"The {role} {picture.name}: {note}." for note in picture.notes]
        if picture.name.lower().endswith((".jpg", ".jpeg", ".webp")):
            remarks.append(f"The {role} {picture.name} is compressed; NIQE reacts to it, and so can PSNR and SSIM.")
        flat = _flat_fraction(picture)
        if flat > 0.02:
            remarks.append(
                f"{flat:.0%} of the {role} is perfectly flat (clipped sky, crushed blacks): NIQE there rests on "
                "rounding residues, and differences below 0.3 mean nothing."
            )
    if reference is not None:
        if output.sha256 == reference.sha256:
            remarks.append("Output and reference are the same file; is one of them the wrong one?")
        elif output.pixels.shape == reference.pixels.shape and np.array_equal(output.pixels, reference.pixels):
            remarks.append("Output and reference hold the same pixels: PSNR is infinite, SSIM 1.")
        if output.pixels.dtype != reference.pixels.dtype:
            remarks.append("One picture has 16 bits a channel and the other 8; both are compared on a 0-255 scale.")
    return remarks


def _flat_fraction(picture: Picture) -> float:
    """Part of the picture whose 7x7 neighbourhood is constant, on NIQE's grey."""
    plane = np.rint(picture.pixels @ np.array(MATLAB_GREY_WEIGHTS))
    if min(plane.shape) < 8:
        return 0.0
    rows = (np.diff(plane, axis=0) == 0)[:, :-1]
    columns = (np.diff(plane, axis=1) == 0)[:-1]
    same = np.pad(np.cumsum(np.cumsum(rows & columns, axis=0), axis=1), ((1, 0), (1, 0)))
    sums = same[6:, 6:] - same[:-6, 6:] - same[6:, :-6] + same[:-6, :-6]
    return float(np.mean(sums == 36))


def _full_reference_effects(output: Picture, reference: Picture, base: Protocol) -> list[Effect]:
    """PSNR and SSIM with one field of the base protocol changed at a time."""
    changes = [
        (replace(base, color="y"), "Y of YCbCr in place of RGB", "super-resolution, deraining, all-in-one papers"),
        (replace(base, color="grey"), "grey (Y of YIQ) in place of RGB", "pyiqa's psnry and ssim, MATLAB scripts"),
        (replace(base, border=4), "4 pixels cut from each side", "super-resolution x4"),
        (replace(base, gt_mean=True), "brightness taken from the ground truth (GT-mean)", "KinD, LLFlow, GSAD"),
        (replace(base, rounding="uint8"), "samples rounded to 8 bits", "codes that score saved files"),
        (
            replace(base, ssim=SsimWindow(border="zero")),
            "SSIM with zeros outside the picture",
            "FFA-Net, AECR-Net and many others",
        ),
        (replace(base, ssim=SsimWindow(pooling="adaptive")), "SSIM after average pooling", "DehazeFormer"),
        (
            replace(base, ssim=SsimWindow(shape="uniform", size=7, sample_covariance=True)),
            "SSIM in 7x7 uniform windows, variances over n - 1",
            "scikit-image without options",
        ),
    ]
    before = {m.metric: m.value for m in score(output, reference, ("psnr", "ssim"), base)}
    effects = []
    for changed, choice, who in changes:
        for measured in score(output, reference, ("psnr", "ssim"), changed):
            if choice.startswith("SSIM") and measured.metric == "psnr":
                continue
            if measured.value is not None and before[measured.metric] is not None:
                effects.append(Effect(measured.metric, choice, before[measured.metric], measured.value, who))
    return effects


def _niqe_effects(output: Picture, parameters: NiqeModel | str | Path | None) -> list[Effect]:
    """NIQE of the same picture as other tools compute it."""
    try:
        model = resolve_model(parameters)
        pixels = to_8_bit(output.pixels)
        before = niqe(pixels, model)
    except UnveilError:
        return []
    effects = []
    tries = [
        (np.rint(luma(pixels)).astype(np.uint8), "Y of YCbCr in place of grey", "BasicSR's default"),
        (np.rint(grey(pixels)).astype(np.uint8), "grey weights 0.299, 0.587, 0.114", "pyiqa"),
    ]
    if min(pixels.shape[:2]) >= 96 + 8:
        tries.append((pixels[4:-4, 4:-4], "4 pixels cut from each side", "BasicSR's x4 configurations, PIRM"))
    for image, choice, who in tries:
        try:
            effects.append(Effect("niqe", choice, before, niqe(np.ascontiguousarray(image), model), who))
        except UnveilError:
            continue
    return effects
