"""Pristine models of NIQE: the official one, the embedded one, a file; which of them is used is part of the number.

The official parameters belong to the LIVE laboratory and are not shipped. They are taken from a file that is given,
else from the Hugging Face cache, else from the repository pyiqa downloads them from; failing all that, the embedded
model fitted by this project is used, and every row says so.
"""

from __future__ import annotations

import hashlib
import os
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from errors import MetricError, MetricUnavailableError
from eval.metrics.niqe import FEATURES

OFFICIAL_REPOSITORY = "chaofengc/IQA-PyTorch-Weights"
OFFICIAL_FILE = "niqe_modelparameters.mat"
OFFICIAL_HASH = "f6284a2b53fd40bbc960472b76ec55b67a299a0270294b804c847e99b8cc1e30"
"""Hash of the values of the LIVE release's parameters, whatever file format they came in."""

EMBEDDED_HASH = "f1c5c70f39c4e82967fcebd37d4211406b641347d23016f0e6c03922307a3565"
"""Hash of the values of the embedded model."""

EMBEDDED = Path(__file__).parents[2] / "assets" / "niqe" / "pristine.npz"
_PATIENCE = 3.0  # seconds

Want = Literal["any", "live", "embedded"]


@dataclass(frozen=True, eq=False)
class NiqeModel:
    """Mean and covariance of the block features of natural photographs.

    Attributes:
        mean: float64 ``(36,)``.
        covariance: float64 ``(36, 36)``.
        kind: ``"live"`` the official values, ``"embedded"`` ours, ``"custom"`` any other file.
        source: Where it came from, for people.
    """

    mean: np.ndarray
    covariance: np.ndarray
    kind: Literal["live", "embedded", "custom"]
    source: str

    @property
    def sha256(self) -> str:
        """Hash of the values (not of the file), in hex."""
        return values_hash(self.mean, self.covariance)

    @property
    def variant(self) -> str:
        """Name beside every number, such as ``niqe-live@1a2b3c4d``."""
        return f"niqe-{self.kind}@{self.sha256[:8]}"


def values_hash(mean: np.ndarray, covariance: np.ndarray) -> str:
    """SHA-256 over the little-endian float64 values, mean first."""
    values = np.concatenate((mean.ravel(), covariance.ravel())).astype("<f8")
    return hashlib.sha256(values.tobytes()).hexdigest()


def make_model(mean: np.ndarray, covariance: np.ndarray, source: str) -> NiqeModel:
    """Check and name a pristine model.

    Raises:
        MetricError: The shapes are wrong, a value is not finite, or the covariance is not symmetric.
    """
    mean = np.array(mean, dtype=np.float64).ravel()
    covariance = np.array(covariance, dtype=np.float64)
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
        raise MetricError(f"{source} is no NIQE model: expected 36 means and a 36x36 covariance.")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all() and np.allclose(covariance, covariance.T)):
        raise MetricError(f"{source} is no NIQE model: its values are not finite, or its covariance not symmetric.")
    mean.flags.writeable = covariance.flags.writeable = False
    kinds = {OFFICIAL_HASH: "live", EMBEDDED_HASH: "embedded"}
    return NiqeModel(mean, covariance, kinds.get(values_hash(mean, covariance), "custom"), source)


def load_model(path: str | Path) -> NiqeModel:
    """Read a model from MATLAB's ``.mat`` (``mu_prisparam``, ``cov_prisparam``) or a NumPy ``.npz``.

    Besides our own names (``mean``, ``covariance``) the ``.npz`` may use BasicSR's (``mu_pris_param``,
    ``cov_pris_param``). The official values are recognised by their hash in either format.

    Raises:
        MetricError: There is no such file, or it holds no model.
    """
    path = Path(path)
    if not path.is_file():
        raise MetricError(f"There are no NIQE parameters at {str(path)!r}; check the path.")
    try:
        values = _read_mat(path) if path.suffix.lower() == ".mat" else _read_npz(path)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise MetricError(f"{path.name} cannot be read as NIQE parameters (.mat or .npz): {error}.") from error
    for mean, covariance in (
        ("mean", "covariance"),
        ("mu_prisparam", "cov_prisparam"),
        ("mu_pris_param", "cov_pris_param"),
    ):
        if mean in values and covariance in values:
            return make_model(values[mean], values[covariance], path.name)
    raise MetricError(f"{path.name} holds no NIQE parameters (no mu_prisparam and cov_prisparam, no mean, covariance).")


def _read_mat(path: Path) -> dict[str, Any]:
    import zlib

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(str(path), appendmat=False)
    except (MatReadError, NotImplementedError, IndexError, KeyError, zlib.error) as error:
        raise ValueError(f"not a MATLAB 4-7 file ({error})") from error


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@lru_cache(maxsize=1)
def embedded_model() -> NiqeModel:
    """The model this project fitted on natural photographs; always there.

    Raises:
        MetricError: The installation is damaged.
    """
    model = load_model(EMBEDDED)
    if model.kind != "embedded":
        raise MetricError(f"{EMBEDDED.name} is not the model this project was released with; reinstall it.")
    return model


@lru_cache(maxsize=1)
def official_model() -> NiqeModel | None:
    """The LIVE laboratory's model from the caches or the Hub, or None where neither has it.

    Looked for once a process. ``HF_HUB_OFFLINE=1`` keeps it from asking the Hub.

    Raises:
        MetricError: A file is there and does not hold the official values.
    """
    path = _cached_official() or _downloaded_official()
    if path is None:
        return None
    model = load_model(path)
    if model.kind != "live":
        raise MetricError(f"{path} is not the official NIQE model; delete it, or give another with --niqe-parameters.")
    return model


def resolve_model(parameters: NiqeModel | str | Path | None = None, want: Want = "any") -> NiqeModel:
    """Which pristine model a score uses.

    Args:
        parameters: A model or a file; wins over everything.
        want: What the protocol accepts: ``"live"`` only the official values, ``"embedded"`` only ours, ``"any"`` the
            official ones where they can be had, else ours.

    Raises:
        MetricUnavailableError: The protocol wants the official values and they are not here.
        MetricError: The file holds no model, or the protocol wants another one.
    """
    if parameters is not None:
        model = parameters if isinstance(parameters, NiqeModel) else load_model(parameters)
        if want != "any" and model.kind != want:
            raise MetricError(
                f"The protocol asks for NIQE with the {'official' if want == 'live' else want} parameters, "
                f"and {model.source} is {model.variant}; choose another protocol or file."
            )
        return model
    if want == "embedded":
        return embedded_model()
    model = official_model()
    if model is None and want == "live":
        raise MetricUnavailableError(
            "The official NIQE parameters are not here and cannot be downloaded; give them with "
            f"--niqe-parameters {OFFICIAL_FILE}, or choose a protocol that accepts niqe-embedded."
        )
    return model or embedded_model()


def _cached_official() -> Path | None:
    """A copy that huggingface_hub or pyiqa left on this machine."""
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{OFFICIAL_REPOSITORY.replace('/', '--')}" / "snapshots"
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    torch_hub = Path(os.environ.get("TORCH_HOME") or f"{caches}/torch").expanduser() / "hub"
    found = (*sorted(snapshots.glob(f"*/{OFFICIAL_FILE}")), torch_hub / "pyiqa" / OFFICIAL_FILE)
    return next((path for path in found if path.is_file()), None)


def _downloaded_official() -> Path | None:
    """Fetch the file into the Hub's cache; None without a network.

    The Hub's client retries for half a minute where there is no network, so one short question is asked first.
    """
    from huggingface_hub import constants, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        return None
    question = urllib.request.Request(hf_hub_url(OFFICIAL_REPOSITORY, OFFICIAL_FILE), method="HEAD")
    try:
        urllib.request.urlopen(question, timeout=_PATIENCE).close()
    except (OSError, ValueError):
        return None
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(OFFICIAL_REPOSITORY, OFFICIAL_FILE, etag_timeout=_PATIENCE))
    except OSError:  # the Hub's errors are OSErrors: the file or the network went away
        return None
