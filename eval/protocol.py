"""Protocols as data: everything that changes a PSNR, an SSIM or a NIQE besides the pictures.

A number means nothing without its protocol: colour space, border, rounding, window, alignment each move scores by more
than most papers' gains. So a protocol is a frozen record with a hash over every field that matters, and one English
sentence that travels with every table. Rows of different hashes are never ranked together.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal, get_args

from errors import MetricError, ProtocolError, UnknownNameError
from eval.metrics.ssim import SsimWindow

Color = Literal["rgb", "y", "grey"]
Rounding = Literal["none", "uint8"]
Mismatch = Literal["error", "modcrop", "center-crop", "sots-10px", "resize-output", "resize-reference"]
NiqeParameters = Literal["any", "live", "embedded"]

SEMANTICS = 1
"""Raised when the meaning of an unchanged protocol changes, so that old rows are not ranked with new ones."""

MODCROP = 7
"""Pixels a side by which ``"modcrop"`` lets two pictures differ: what a multiple of 8 can cost."""

_ALIASES = {"resize-pred": "resize-output", "resize-ref": "resize-reference"}


@dataclass(frozen=True)
class Protocol:
    """One way to turn two pictures into numbers.

    Attributes:
        name: How people call it; not part of the hash.
        purpose: When to use it, one clause; not part of the hash.
        color: What full-reference metrics look at: ``"rgb"`` all three channels jointly, ``"y"`` BT.601 limited-range
            luma as MATLAB computes it, not rounded, ``"grey"`` 0.299 R + 0.587 G + 0.114 B.
        border: Pixels cut from each side before full-reference metrics.
        rounding: ``"none"`` scores samples as they are, clamped to the range; ``"uint8"`` rounds them to 8 bits first.
        size_mismatch: What happens when output and reference differ in size.
        gt_mean: Scale the output to the reference's mean grey before full-reference metrics.
        ssim: SSIM's window.
        niqe: Which NIQE parameters are accepted.
        niqe_border: Pixels cut from each side before NIQE.
    """

    name: str
    purpose: str = ""
    color: Color = "rgb"
    border: int = 0
    rounding: Rounding = "none"
    size_mismatch: Mismatch = "error"
    gt_mean: bool = False
    ssim: SsimWindow = field(default_factory=SsimWindow)
    niqe: NiqeParameters = "any"
    niqe_border: int = 0

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.color, get_args(Color), "color"),
            (self.rounding, get_args(Rounding), "rounding"),
            (self.size_mismatch, get_args(Mismatch), "size_mismatch"),
            (self.niqe, get_args(NiqeParameters), "niqe"),
        ):
            if value not in known:
                raise ProtocolError(f"Protocol {self.name!r}: {what} is one of {', '.join(known)}, not {value!r}.")
        if not (isinstance(self.name, str) and isinstance(self.purpose, str) and isinstance(self.gt_mean, bool)):
            raise ProtocolError(f"Protocol {self.name!r}: name and purpose are texts, gt_mean is true or false.")
        if not all(isinstance(n, int) and n >= 0 for n in (self.border, self.niqe_border)):
            raise ProtocolError(f"Protocol {self.name!r}: borders are whole numbers of pixels, zero or more.")

    @property
    def hash(self) -> str:
        """12 hex digits over every field but name and purpose."""
        content = asdict(self) | {"semantics": SEMANTICS}
        del content["name"], content["purpose"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def sentence(self) -> str:
        """The protocol in one English sentence."""
        parts = [
            {
                "rgb": "PSNR (all channels jointly) and SSIM on RGB",
                "y": "PSNR and SSIM on Y of YCbCr (BT.601 limited range, not rounded)",
                "grey": "PSNR and SSIM on grey (0.299 R + 0.587 G + 0.114 B)",
            }[self.color],
            f"{self.border} pixels cut from each side" if self.border else "all pixels",
            "samples rounded to 8 bits" if self.rounding == "uint8" else "samples clamped to the range and not rounded",
        ]
        if self.gt_mean:
            parts.append("output first scaled to the reference's mean grey (GT-mean, which uses the ground truth)")
        parts.append(_ssim_clause(self.ssim))
        parts.append(_MISMATCH_CLAUSES[self.size_mismatch])
        cut = f"{self.niqe_border} pixels cut from each side" if self.niqe_border else "uncropped"
        parameters = {
            "any": "the parameters named beside each value",
            "live": "the official parameters only",
            "embedded": "the embedded parameters only",
        }[self.niqe]
        parts.append(f"NIQE on MATLAB's rounded grey, {cut}, with {parameters}")
        return f"{self.name} ({self.hash}): {'; '.join(parts)}."

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, with name and hash."""
        return json.dumps(asdict(self) | {"hash": self.hash}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Protocol:
        """Read what :meth:`to_json` wrote, or an entry of ``python -m eval protocols --json``.

        A hash is optional; fields that are left out take their defaults.

        Raises:
            ProtocolError: Not a protocol, an unknown field, or the hash does not fit the fields.
        """
        try:
            content = json.loads(text)
            said = content.pop("hash", None)
            content.pop("sentence", None)
            unknown = sorted(set(content) - {f.name for f in fields(cls)})
            if unknown:
                raise ProtocolError(f"A protocol has no field {', '.join(unknown)}; was it written by a newer version?")
            content["ssim"] = SsimWindow(**content.get("ssim", {}))
            protocol = cls(**content)
        except (ValueError, TypeError, AttributeError, MetricError) as error:
            raise ProtocolError(f"This is not a protocol in JSON ({error}).") from error
        if said not in (None, protocol.hash):
            raise ProtocolError(
                f"Protocol {protocol.name!r} says hash {said} but its fields give {protocol.hash}: it was edited, or "
                "written by a version that computes differently; its rows cannot be mixed with today's. To make it a "
                "protocol of its own, give it another name and leave the hash out."
            )
        return protocol


def _ssim_clause(window: SsimWindow) -> str:
    shape = f"Gaussian (sigma {window.sigma:g})" if window.shape == "gaussian" else "uniform"
    border = "whole windows only" if window.border == "valid" else "zeros outside the picture"
    clause = f"SSIM per channel in {window.size}x{window.size} {shape} windows, {border}"
    if window.pooling == "adaptive":
        clause += ", after average pooling by max(1, round(min(H, W) / 256))"
    if window.sample_covariance:
        clause += ", variances over n - 1"
    if (window.k1, window.k2) != (0.01, 0.03):
        clause += f", K1 {window.k1:g} and K2 {window.k2:g}"
    return clause


_MISMATCH_CLAUSES = {
    "error": "pictures of different size are refused",
    "modcrop": f"the larger of two pictures is cut at the bottom and right, by {MODCROP} pixels a side at most",
    "center-crop": "pictures of different size are both cut to their common centre",
    "sots-10px": "10 pixels are cut from each side of a reference that is 20 pixels larger",
    "resize-output": "an output of different size is resized to the reference (MATLAB bicubic)",
    "resize-reference": "a reference of different size is resized to the output (MATLAB bicubic)",
}

_PRESETS = {
    protocol.name: protocol
    for protocol in (
        Protocol("dehaze-rgb", "dehazing, the primary number: RGB, full size"),
        Protocol(
            "dehaze-ffa", "dehazing, as the FFA-Net and AECR-Net codes compute SSIM", ssim=SsimWindow(border="zero")
        ),
        Protocol(
            "dehaze-dehazeformer",
            "dehazing, as the DehazeFormer code computes SSIM",
            ssim=SsimWindow(pooling="adaptive"),
        ),
        Protocol("lowlight-rgb", "low light, the fair number: RGB, 8 bits", rounding="uint8"),
        Protocol(
            "lowlight-gtmean", "low light with the ground truth's brightness; never mix with others", gt_mean=True
        ),
        Protocol("sr-y4", "super-resolution x4: Y, 4 pixels cut", color="y", border=4, rounding="uint8"),
        Protocol("sr-y2", "super-resolution x2: Y, 2 pixels cut", color="y", border=2, rounding="uint8"),
        Protocol("sr-y3", "super-resolution x3: Y, 3 pixels cut", color="y", border=3, rounding="uint8"),
        Protocol("sr-y8", "super-resolution x8: Y, 8 pixels cut", color="y", border=8, rounding="uint8"),
        Protocol("sr-rgb4", "super-resolution x4 where colours count: RGB, 4 pixels cut", border=4, rounding="uint8"),
        Protocol("y-noborder", "Y of all pixels: deraining, all-in-one papers", color="y", rounding="uint8"),
        Protocol("niqe-live", "NIQE as the LIVE laboratory's release gives it", rounding="uint8", niqe="live"),
        Protocol(
            "skimage-default",
            "scikit-image's structural_similarity and peak_signal_noise_ratio as called without options",
            rounding="uint8",
            ssim=SsimWindow(shape="uniform", size=7, sample_covariance=True),
        ),
    )
}

DEFAULT = "dehaze-rgb"


def names() -> list[str]:
    """Names of the presets."""
    return list(_PRESETS)


def get(name: str) -> Protocol:
    """A preset, or a preset with another answer to a size mismatch: ``"dehaze-rgb+sots-10px"``.

    Raises:
        UnknownNameError: There is no such preset, or no such policy after the plus sign.

    Example:
        >>> get("dehaze-rgb+center-crop").size_mismatch
        'center-crop'
    """
    base, _, policy = name.partition("+")
    if base not in _PRESETS:
        raise UnknownNameError("protocol", base, _PRESETS)
    protocol = _PRESETS[base]
    if not policy:
        return protocol
    policy = _ALIASES.get(policy, policy)
    if policy not in get_args(Mismatch):
        raise UnknownNameError("size-mismatch policy", policy, get_args(Mismatch))
    return replace(protocol, name=f"{base}+{policy}", size_mismatch=policy)
