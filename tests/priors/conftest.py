from __future__ import annotations

import pytest

from priors import clip
from tests.priors.tiny import write_clip


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="session")
def prior(folder):
    return clip.load(f"local-dir:{folder}")
