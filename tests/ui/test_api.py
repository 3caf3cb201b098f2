"""The doors for programs: their contract, their values, and what they refuse."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from errors import WeightsError
from eval.protocol import get
from eval.scoring import score
from images import read_picture
from restorers import registry
from tests.ui.conftest import hazy, noise_picture, png


@pytest.fixture(scope="module")
def client(server) -> Client:
    return Client(server.url, verbose=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    clear = noise_picture(5)
    paths = folder / "output.png", folder / "clear.png"
    for path, pixels in zip(paths, (hazy(clear), clear), strict=True):
        path.write_bytes(png(pixels))
    return paths


def test_the_endpoints_are_these_and_no_others(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    contract = {
        name: [(p["parameter_name"], p["python_type"]["type"], p["parameter_has_default"]) for p in info["parameters"]]
        for name, info in endpoints.items()
    }
    assert contract == {
        "/restore": [("image", "filepath", False), ("method", "str", True)],
        "/score": [
            ("output", "filepath", False),
            ("reference", "None | filepath", True),
            ("metrics", "list[str]", True),
            ("protocol", "str", True),
        ],
        "/methods": [],
        "/protocols": [],
    }


def test_restore_gives_the_pixels_of_the_pipeline(client: Client, pair) -> None:
    from restorers.hub import load
    from restorers.pipeline import restore

    result = client.predict(handle_file(pair[0]), "dark_channel", api_name="/restore")
    expected = restore(load("dark_channel"), read_picture(pair[0])).pixels
    np.testing.assert_array_equal(read_picture(result).pixels, expected)


def test_a_call_leaves_one_picture_and_not_for_long(client: Client, server, pair) -> None:
    scratch = server.engine.scratch
    direct = Path(scratch._home.name) / "direct"
    before = set(direct.rglob("*.png"))
    client.predict(handle_file(pair[0]), "dark_channel", api_name="/restore")
    (left,) = set(direct.rglob("*.png")) - before
    scratch.sweep()
    assert left.exists(), "gradio may not have copied it yet"
    hour_ago = time.time() - 3700
    os.utime(left.parent, (hour_ago, hour_ago))
    scratch.sweep()
    assert not left.exists()


def test_score_gives_the_values_of_the_scorer(client: Client, pair) -> None:
    rows = client.predict(handle_file(pair[0]), handle_file(pair[1]), ["psnr", "ssim"], "dehaze-ffa", api_name="/score")
    expected = score(read_picture(pair[0]), read_picture(pair[1]), ["psnr", "ssim"], get("dehaze-ffa"))
    assert [row["value"] for row in rows] == [one.value for one in expected]
    assert {row["protocol_hash"] for row in rows} == {get("dehaze-ffa").hash}


def test_equal_pictures_have_infinite_psnr(client: Client, pair) -> None:
    rows = client.predict(handle_file(pair[1]), handle_file(pair[1]), ["psnr"], api_name="/score")
    assert rows[0]["value"] == "inf"


def test_lists(client: Client) -> None:
    assert [entry["name"] for entry in client.predict(api_name="/methods")] == registry.names()
    assert "dehaze-rgb" in {entry["name"] for entry in client.predict(api_name="/protocols")}


def test_an_unknown_method_is_one_sentence_with_the_nearest_names(client: Client, pair) -> None:
    with pytest.raises(AppError, match="did you mean dark_channel"):
        client.predict(handle_file(pair[0]), "dark_chanel", api_name="/restore")


def test_callers_see_no_path_and_no_option(client: Client, server, pair, monkeypatch) -> None:
    """Whether a call is refused or only a row of its answer."""
    said = "/srv/cache/x.mat is damaged; delete it, or give another with --niqe-parameters."

    def damaged(*arguments: object, **options: object) -> object:
        raise WeightsError(said)

    monkeypatch.setattr(server.engine, "restorer", damaged)
    with pytest.raises(AppError, match=r"^x\.mat is damaged; leave NIQE out"):
        client.predict(handle_file(pair[0]), "dark_channel", api_name="/restore")
    monkeypatch.setattr("eval.scoring.niqe", damaged)
    (row,) = client.predict(handle_file(pair[0]), None, ["niqe"], api_name="/score")
    assert row["error"].startswith("x.mat is damaged; leave NIQE out") and row["value"] is None


@pytest.fixture
def http(server) -> Iterator[httpx.Client]:
    """A program that speaks plain HTTP."""
    with httpx.Client(base_url=server.url, timeout=120) as found:
        yield found


@pytest.fixture
def upload(http: httpx.Client, pair) -> str:
    """Where the server has put an uploaded picture."""
    form = {"files": ("output.png", pair[0].read_bytes(), "image/png")}
    return http.post("/gradio_api/upload", files=form).raise_for_status().json()[0]


def answer(http: httpx.Client, payload: object) -> str:
    """What /restore says, as gradio's events."""
    started = http.post("/gradio_api/call/restore", json={"data": [payload, "dark_channel"]})
    assert started.status_code == 200, started.text
    with http.stream("GET", f"/gradio_api/call/restore/{started.json()['event_id']}") as stream:
        return "".join(stream.iter_text())


def test_an_upload_over_plain_http_is_restored(http: httpx.Client, upload: str) -> None:
    """What gives the refusals below their meaning: an uploaded file in the same words is taken."""
    said = answer(http, {"path": upload, "meta": {"_type": "gradio.FileData"}})
    assert "event: complete" in said and "event: error" not in said
    assert ".png" in said


@pytest.mark.parametrize(
    "payload",
    [
        "/etc/passwd",
        {"path": "/etc/passwd"},
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"url": "file:///etc/passwd", "path": "", "meta": {"_type": "gradio.FileData"}},
    ],
)
def test_no_endpoint_reads_a_path_of_the_server(http: httpx.Client, payload: object) -> None:
    said = answer(http, payload)
    assert "event: error" in said and "event: complete" not in said
    assert "root:" not in said


def test_files_of_the_server_are_not_served(server, http: httpx.Client, upload: str) -> None:
    assert http.get(f"/gradio_api/file={upload}").status_code == 200, "uploads are, at this address"
    job = server.engine.settings.rows
    for path in ("/etc/passwd", str(job), str(Path(__file__))):
        assert http.get(f"/gradio_api/file={path}").status_code in (403, 404)
