"""Data that trains in seconds, made once for each file of tests."""

import pytest

from tests.training import toy_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = toy_data.write_nyu(tmp_path_factory.mktemp("data"))
    toy_data.write_squeezenet(root)
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")
