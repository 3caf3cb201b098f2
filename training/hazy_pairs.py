"""Hazy and clear pictures as pairs: RESIDE's recipe on NYU scenes, outdoor haze on photographs, or pairs from files.

A sample is a pure function of a seed and a number. Scenes and photographs are packed at full size into picture pools
once (seconds to a minute) and map from disk afterwards; pairs in folders and sets are decoded when they are drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from errors import SetError, UsageError, check_names
from eval.pairing import Pair
from eval.sets import open_set
from training import data
from training.degradations import camera, haze
from training.degradations.depth import photograph_depth
from training.entries import between, number, table, whole
from training.validate import ValidationPair, quick_selection
from training.views import View

DEPTH_FIELDS = 4
"""Depth fields drawn for each photograph when it is packed."""

DAYLIGHT_LUMA = (85.0, 165.0)
"""Exposures of a multi-exposure scene that are photographs like others, by their mean luma of 255."""


_RANGES = ("beta", "airlight")
"""Of the haze options, those that are two numbers."""


@dataclass(frozen=True)
class HazeRange:
    """What haze is drawn from. The defaults are RESIDE's indoor training set: even haze, white airlight.

    Attributes:
        beta: Scattering coefficient on depth divided by the scene's largest, uniform.
        airlight: Brightness of the airlight, uniform.
        white: Share of pictures whose airlight is 1, as in SOTS-indoor.
        tint: How far the airlight's channels may lie apart.
        patchy: Share of pictures whose haze is uneven.
        near: Haze in front of everything, as depth added to all of it, up to this; in a third of the pictures.
        noise: Largest deviation of sensor noise, of 255.
        jpeg: Share of pictures that were a JPEG file of quality 40 to 95.
        tone: Share of pictures whose tone curve, white balance and saturation are another camera's, under the haze and
            in the picture that is wanted; few photographs are learned by heart otherwise.
        colours: Share of pictures whose channels change places and whose colours are stronger, in both as well.
    """

    beta: tuple[float, float] = (0.6, 1.8)
    airlight: tuple[float, float] = (0.7, 1.0)
    white: float = 0.0
    tint: float = 0.0
    patchy: float = 0.0
    near: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0
    tone: float = 0.0
    colours: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> HazeRange:
        """From a recipe's table.

        Raises:
            UnknownNameError: A key means nothing.
            UsageError: A value is no such number.
        """
        known = [f.name for f in fields_of(cls)]
        check_names("haze option", table(values, "haze"), known)
        return cls(**{k: (between if k in _RANGES else number)(v, f"haze.{k}", least=0) for k, v in values.items()})

    def apply(self, clear: Tensor, depth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Lay haze on one picture.

        Args:
            clear: (1, 3, h, w) in [0, 1].
            depth: (1, 1, h, w), over the scene's largest.
            generator: Source of randomness.

        Returns:
            The hazy picture and the clear one it should become, (1, 3, h, w) in [0, 1].
        """

        def chance(share: float) -> bool:
            return bool(torch.rand(1, generator=generator) < share)

        if self.tone and chance(self.tone):
            clear = camera.everyday_tone(clear, generator)
        if self.colours and chance(self.colours):
            clear = camera.exchanged_colours(clear, generator)
        beta = haze.sample_uniform(1, *self.beta, generator)
        airlight = haze.sample_airlight(1, generator, low=self.airlight[0], high=self.airlight[1], tint=self.tint)
        if self.white and chance(self.white):
            airlight = torch.ones_like(airlight)
        if chance(0.33):
            depth = depth + haze.sample_uniform(1, 0.0, self.near, generator)
        if chance(self.patchy):
            cells = float(haze.sample_uniform(1, 1.0, 4.0, generator))
            noise = haze.fractal_noise(1, *depth.shape[-2:], generator, cells=cells)
            depth = depth * haze.patchiness(noise, haze.sample_uniform(1, 0.4, 1.0, generator))
        hazy = haze.scatter(clear, haze.transmission(depth, beta), airlight)
        if self.noise:
            sigma = haze.sample_uniform(1, 0.0, self.noise / 255, generator)
            hazy = camera.gaussian_noise(hazy, sigma, generator)
        if chance(self.jpeg):
            hazy = camera.jpeg(hazy, [int(torch.randint(40, 96, (1,), generator=generator))])
        return hazy.clamp(0, 1), clear


class PairSource(ABC):
    """Where samples come from."""

    @abstractmethod
    def draw(self, view: View, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A hazy and a clear crop (3, crop, crop), turned and mirrored at random.

        Args:
            view: Size of the crop, and how far the picture is reduced first.
            rng: Source of randomness.
        """

    @abstractmethod
    def pairs(self, *, full: bool) -> list[ValidationPair]:
        """Validation pairs at full size."""


class Scenes(PairSource):
    """Pictures with depth in pools: NYU scenes (measured depth), photographs and exposures of scenes (plausible depth).

    Args:
        kind: ``nyu``, ``photographs`` or ``exposures``.
        root: Folder of the tars.
        cache: Folder for packed pools.
        haze_range: What haze to draw in training.
        validation: Options of the recipe's validation: ``haze`` (a table, or absent for the SOTS recipe), ``pairs`` of
            the quick selection, and ``draws`` of that haze from each picture.
        turns: Whether pictures may be turned by quarter turns; haze outdoors has an up and a down.
    """

    def __init__(
        self,
        kind: str,
        root: Path,
        cache: Path,
        haze_range: HazeRange,
        validation: Mapping[str, Any],
        *,
        turns: bool = True,
    ) -> None:
        self.kind, self.haze_range, self.turns = kind, haze_range, turns
        self.judging = HazeRange.of(validation["haze"]) if "haze" in validation else None
        self.draws = whole(validation.get("draws", 1), "validation.draws", least=1)
        self.quick = _quick(validation)
        self.training = _open(kind, root, cache, validation=False)
        self.held_out = _open(kind, root, cache, validation=True)
        if not len(self.training[0]):
            raise SetError(f"There are no training pictures for {kind!r} below {root}; check --data.")

    def draw(self, view: View, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See :meth:`PairSource.draw`."""
        pictures, depths = self.training
        index = int(rng.integers(len(pictures)))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        picture = pictures[index]
        picture = data.reduce_picture(picture, view.short(*picture.shape[:2], rng))
        depth = _drawn_depth(depths, index, picture.shape[:2], rng)
        window = _window(*picture.shape[:2], view, rng)
        clear = data.to_tensor(picture[window])[None]
        hazy, clear = self.haze_range.apply(clear, depth[..., window[0], window[1]], generator)
        return _turned(hazy[0], clear[0], self.turns, rng)

    def pairs(self, *, full: bool) -> list[ValidationPair]:
        """All held-out pictures x ten betas, or the recipe's quick selection, every haze level about as often."""
        count = len(self.held_out[0])
        betas = haze.SOTS_BETAS if self.judging is None else tuple(range(self.draws))
        every = [(scene, beta) for scene in range(count) for beta in betas]
        if not full:
            wanted = min(self.quick, len(every))
            scenes = [round(i * count / wanted) % count for i in range(wanted)]
            stride = 3 if len(betas) % 3 else 1  # meets every level
            every = [(scene, betas[(stride * i) % len(betas)]) for i, scene in enumerate(scenes)]
        return [
            ValidationPair(f"{self.kind}-{scene:03d}-{level}", partial(self._pair, scene, level))
            for scene, level in every
        ]

    def _pair(self, scene: int, level: float) -> tuple[Tensor, Tensor]:
        pictures, depths = self.held_out
        clear = data.to_tensor(pictures[scene])[None]
        if self.judging is None:
            depth = torch.from_numpy(np.array(depths[scene]))[None, None].float()
            hazy, clear, _ = haze.sots_pair(clear, depth, level)
            return hazy, clear
        rng = np.random.default_rng((977, scene, int(level)))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        depth = _depth(depths, scene, pictures[scene].shape[:2], rng)
        return self.judging.apply(clear, depth, generator)


class PairedPictures(PairSource):
    """Pairs of real pictures, decoded when they are drawn.

    Args:
        training: Pairs to draw from; those without a reference are left out.
        held_out: Pairs to validate on.
        what: Where they came from, for messages.
        quick: How many of them the quick selection has.
        turns: Whether pictures may be turned by quarter turns; haze outdoors has an up and a down.
    """

    def __init__(
        self, training: Sequence[Pair], held_out: Sequence[Pair], what: str, *, quick: int, turns: bool = True
    ) -> None:
        self.quick, self.turns = quick, turns
        self.training = tuple(pair for pair in training if pair.reference is not None)
        self.held_out = tuple(pair for pair in held_out if pair.reference is not None)
        if not self.training:
            raise SetError(f"No pictures of {what} pair up by name; rename them.")

    def draw(self, view: View, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See :meth:`PairSource.draw`."""
        hazy, clear = _read_pair(self.training[int(rng.integers(len(self.training)))])
        scale = view.short(*hazy.shape[-2:], rng) / min(hazy.shape[-2:])
        if scale < 1:
            size = [round(length * scale) for length in hazy.shape[-2:]]
            hazy, clear = (F.interpolate(x, size, mode="area") for x in (hazy, clear))
        window = (..., *_window(*hazy.shape[-2:], view, rng))
        return _turned(hazy[0][window], clear[0][window], self.turns, rng)

    def pairs(self, *, full: bool) -> list[ValidationPair]:
        """All held-out pairs, or as many of them as the quick selection has."""
        pairs = pairs_of(self.held_out)
        return pairs if full else quick_selection(pairs, self.quick)


class Folders(PairedPictures):
    """Hazy and clear pictures in two folders each (Dense-Haze, NH-HAZE, your own), paired by name.

    Args:
        root: Data root.
        options: ``hazy`` and ``clear`` folders below it, and ``validation_hazy``, ``validation_clear``.
        validation: ``pairs`` of the quick selection.
    """

    def __init__(self, root: Path, options: Mapping[str, Any], validation: Mapping[str, Any]) -> None:
        for key in ("hazy", "clear", "validation_hazy", "validation_clear"):
            if key not in options:
                raise UsageError(f"The recipe's data source 'folders' needs {key!r}, a folder below --data.")
        training = open_set(root / options["hazy"], root / options["clear"]).pairs
        held_out = open_set(root / options["validation_hazy"], root / options["validation_clear"]).pairs
        what = f"{options['hazy']} and {options['clear']}"
        super().__init__(training, held_out, what, quick=_quick(validation), turns=bool(options.get("turns", True)))


class Sets(PairedPictures):
    """Sets that say themselves what pairs: RESIDE's folders, data sets of the Hub, zips, tars, Parquet files.

    Args:
        root: Data root.
        options: ``training``, a place (see :func:`training.data.pairs_at`), and either ``validation``, another, or
            ``held_out``, how many of the training place's pairs (the last by name) are kept for validation.
        validation: ``pairs`` of the quick selection.
    """

    def __init__(self, root: Path, options: Mapping[str, Any], validation: Mapping[str, Any]) -> None:
        if "training" not in options or ("validation" in options) == ("held_out" in options):
            raise UsageError(
                "The recipe's data source 'sets' needs 'training' and either 'validation', both a folder below --data "
                "or hf://datasets/ORG/NAME@REVISION, or 'held_out', a number of pairs."
            )
        training = data.pairs_at(root, str(options["training"]))
        if "validation" in options:
            held_out = data.pairs_at(root, str(options["validation"]))
        else:
            count = whole(options["held_out"], "data.sources.sets.held_out")
            if not 0 < count < len(training):
                raise UsageError(
                    f"held_out is {count}, but {options['training']} has {len(training)} pairs; keep some of both."
                )
            training, held_out = training[:-count], training[-count:]
        what, turns = str(options["training"]), bool(options.get("turns", True))
        super().__init__(training, held_out, what, quick=_quick(validation), turns=turns)


class Mixture(PairSource):
    """Several sources, each with its share of the samples; one judges.

    Args:
        sources: Sources with their shares.
        judge: Whose held-out pairs validate.
    """

    def __init__(self, sources: Sequence[tuple[PairSource, float]], judge: PairSource) -> None:
        shares = np.array([share for _, share in sources], dtype=float)
        self.sources, self.shares = [source for source, _ in sources], shares / shares.sum()
        self.judge = judge

    def draw(self, view: View, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See :meth:`PairSource.draw`."""
        return self.sources[int(rng.choice(len(self.sources), p=self.shares))].draw(view, rng)

    def pairs(self, *, full: bool) -> list[ValidationPair]:
        """The judge's."""
        return self.judge.pairs(full=full)


def open_sources(tables: Mapping[str, Any], root: Path, cache: Path, validation: Mapping[str, Any]) -> Mixture:
    """Open a recipe's sources.

    Args:
        tables: Name of a source to its options, with its ``share`` of the samples (1 if absent).
        root: Folder of the data.
        cache: Folder of packed data.
        validation: ``source``, whose held-out pairs validate (the first if absent; it need not be trained on), and
            options of its validation.

    Raises:
        UnknownNameError: No such source.
        UsageError: There is no source, or none has a share.
        SetError: Its files are missing.
    """
    tables = {name: table(given, f"data.sources.{name}") for name, given in table(tables, "data.sources").items()}
    shares = {
        name: number(given.get("share", 1.0), f"data.sources.{name}.share", least=0) for name, given in tables.items()
    }
    if not any(shares.values()):
        raise UsageError("No source of the recipe's data.sources has a share of the samples; name one, share above 0.")
    options = dict(validation)
    judge = str(options.pop("source", next(iter(tables))))
    opened = {name: open_source(name, root, cache, given, options) for name, given in tables.items()}
    judging = opened.get(judge) or open_source(judge, root, cache, {}, options)
    return Mixture([(opened[name], share) for name, share in shares.items()], judging)


def open_source(
    name: str, root: Path, cache: Path, options: Mapping[str, Any], validation: Mapping[str, Any]
) -> PairSource:
    """Open one of the recipe's sources.

    Raises:
        UnknownNameError: No such source.
        SetError: Its files are missing.
    """
    check_names("data source", [name], _OPTIONS)
    check_names(f"option of the data source {name!r}", options, _OPTIONS[name])
    if name in _PACKERS:
        turns = bool(options.get("turns", name == "nyu"))
        return Scenes(name, root, cache, HazeRange.of(options.get("haze", {})), validation, turns=turns)
    return _PAIRED[name](root, options, validation)


def _quick(validation: Mapping[str, Any]) -> int:
    """How many pairs the quick selection has."""
    return whole(validation.get("pairs", 20), "validation.pairs")


def pairs_of(pairs: Sequence[Pair]) -> list[ValidationPair]:
    """Pairs of files to validate on, read when they are needed; those without a reference are left out."""
    return [ValidationPair(pair.key, partial(_read_pair, pair)) for pair in pairs if pair.reference is not None]


def _read_pair(pair: Any) -> tuple[Tensor, Tensor]:
    """A pair from files; a reference with a border that the input lost (SOTS: ten pixels) is cropped to its centre."""
    hazy, clear = pair.input.read().to_tensor(), pair.reference.read().to_tensor()
    down, right = (clear.shape[i] - hazy.shape[i] for i in (2, 3))
    if min(down, right) < 0:
        raise SetError(f"{pair.input.name} is larger than its reference {pair.reference.name}; check the pair.")
    top, left = down // 2, right // 2
    return hazy, clear[..., top : top + hazy.shape[2], left : left + hazy.shape[3]]


def _depth(depths: data.PicturePool, index: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Depth over the scene's largest at the picture's size (1, 1, H, W); one of several fields where there are more."""
    field = np.array(depths[index])
    if field.ndim == 3:
        field = np.ascontiguousarray(field[..., int(rng.integers(field.shape[2]))])
    raw = torch.from_numpy(field)[None, None].float()
    raw = raw / raw.max().clamp_min(1)
    return raw if raw.shape[-2:] == size else F.interpolate(raw, size, mode="bilinear", align_corners=False)


def _drawn_depth(depths: data.PicturePool, index: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Depth for a training sample: of several fields one, or by chance a mean of two, for there are more of those."""
    depth = _depth(depths, index, size, rng)
    if np.ndim(depths[index]) == 2 or rng.random() < 0.5:
        return depth
    return torch.lerp(depth, _depth(depths, index, size, rng), float(rng.random()))


def _window(height: int, width: int, view: View, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random crop."""
    if height < view.crop or width < view.columns:
        raise SetError(
            f"A training picture is smaller than the crop of {view.columns}x{view.crop} pixels; lower data.crop in the "
            "recipe."
        )
    top, left = int(rng.integers(height - view.crop + 1)), int(rng.integers(width - view.columns + 1))
    return slice(top, top + view.crop), slice(left, left + view.columns)


def _turned(hazy: Tensor, clear: Tensor, turns: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    both = torch.stack([hazy, clear])
    if rng.random() < 0.5:
        both = both.flip(-1)
    if turns:
        square = both.shape[-2] == both.shape[-1]
        both = both.rot90(int(rng.integers(4)) if square else 2 * int(rng.integers(2)), (-2, -1))
    return both[0].contiguous(), both[1].contiguous()


def _open(kind: str, root: Path, cache: Path, *, validation: bool) -> tuple[data.PicturePool, data.PicturePool]:
    """Pictures and their depth, packed on first use."""
    names, pack = _PACKERS[kind]
    name = f"{kind}-full-{'validation' if validation else 'training'}"
    files = [root / file for file in names]
    pictures, depths = data.packed(cache, name, files, lambda: pack(root, validation), ("pictures", "depth"))
    return pictures, depths


def _pack_nyu(root: Path, validation: bool) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    for scene, picture, depth in data.nyu(root, validation=validation):
        yield picture, depth, {"scene": scene}


def _pack_photographs(root: Path, validation: bool) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    rng = np.random.default_rng(31)
    for name, picture in data.bsds(root, validation=validation):
        yield picture, _depth_fields(picture, rng), {"name": name}


def _pack_exposures(root: Path, validation: bool) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    rng = np.random.default_rng(32)
    for name, luma, best, picture in data.multi_exposure(root, validation=validation):
        if best or DAYLIGHT_LUMA[0] <= luma <= DAYLIGHT_LUMA[1]:
            yield picture, _depth_fields(picture, rng), {"name": name}


def _depth_fields(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    fields = [(photograph_depth(picture, rng) * 255).round().astype(np.uint8) for _ in range(DEPTH_FIELDS)]
    return np.dstack(fields)


_PACKERS = {
    "nyu": (("nyu_images.tar", "nyu_depth.tar"), _pack_nyu),
    "photographs": (("bsds400.tar",), _pack_photographs),
    "exposures": (("multi_exposure.tar",), _pack_exposures),
}

_PAIRED: Mapping[str, Callable[[Path, Mapping[str, Any], Mapping[str, Any]], PairSource]] = {
    "folders": Folders,
    "sets": Sets,
}

_OPTIONS = {
    **dict.fromkeys(_PACKERS, ("share", "turns", "haze")),
    "folders": ("share", "turns", "hazy", "clear", "validation_hazy", "validation_clear"),
    "sets": ("share", "turns", "training", "validation", "held_out"),
}
