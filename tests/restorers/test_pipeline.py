"""Any picture in, the same size times the scale out; tiles when memory is short; a record of what it took."""

import numpy as np
import pytest
import torch

from errors import ImageError, UsageError
from images import Picture, read_picture, write_picture
from restorers import networks, pipeline, registry
from restorers.pipeline import restore, restore_file
from restorers.publish import write_folder
from tests.restorers import tiny

WIDE, TALL = (16, 32, 3), (32, 16, 3)


def picture(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture(pixels, "0" * 64, "test.png")


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("size", [(16, 16), (17, 93), (101, 64)])
def test_every_method_takes_any_size(name, size):
    model = registry.create(name)
    done = restore(model, picture(*size))
    assert done.pixels.shape == (size[0] * model.card.scale, size[1] * model.card.scale, 3)
    assert done.pixels.dtype == np.uint8
    assert done.seconds > 0 and done.peak_mib > 0 and done.tiles == 1
    assert done.weights_sha256 == model.card.weights_sha256


@pytest.mark.parametrize("name", registry.names())
def test_batch_of_one_is_batch_of_many(name):
    model = registry.create(name)
    x = torch.rand(3, 3, 40, 52)
    with torch.inference_mode():
        together, alone = model(x), torch.cat([model(picture) for picture in x.split(1)])
    tolerance = 0 if model.card.parameters == 0 else 1e-5
    torch.testing.assert_close(together, alone, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", registry.names())
def test_same_input_same_bytes(name):
    model = registry.create(name)
    first, second = (restore(model, picture(48, 40)).pixels for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("level", [0, 255])
def test_flat_pictures_stay_finite(name, level):
    flat = torch.full((1, 3, 32, 32), level / 255)
    with torch.inference_mode():
        assert torch.isfinite(registry.create(name)(flat)).all()


def test_tiled_equals_whole():
    model = tiny.make()
    whole = restore(model, picture(90, 130), tile="none")
    for overlap in (None, 8):
        tiled = restore(model, picture(90, 130), tile=32, overlap=overlap)
        assert tiled.tiles > 1 and tiled.tile == 32 and not tiled.notes
        assert np.abs(tiled.pixels.astype(int) - whole.pixels).max() <= 1
        assert (tiled.pixels != whole.pixels).mean() < 0.001


def test_auto_cuts_to_fit_and_says_so(monkeypatch):
    monkeypatch.setattr(pipeline, "_SMALL_PICTURE", 0)
    monkeypatch.setattr(pipeline, "free_memory", lambda device: 600_000)
    model = tiny.make()
    done = restore(model, picture(120, 140))
    assert done.tiles > 1 and "to fit into memory" in done.notes[0]
    np.testing.assert_allclose(done.pixels, restore(model, picture(120, 140), tile="none").pixels, atol=1)


def test_whole_pictures_take_their_share_of_the_memory(monkeypatch):
    """12 bytes a pixel of the picture, and of its result twice; at least a quarter of the budget is left for tiles."""
    x, device = torch.rand(1, 3, 400, 500), torch.device("cpu")
    monkeypatch.setattr(pipeline, "bytes_per_pixel", lambda network, device: 100)
    sides = []
    for share in (2.0, 1.0, 0.1):
        monkeypatch.setattr(pipeline, "_CPU_BUDGET", 3 * 12 * 200_000 * share)
        sides.append(pipeline._fitting_tile(tiny.Tiny(), x, device))
    left = (3 * 12 * 200_000, 0.25 * 3 * 12 * 200_000, 0.25 * 0.1 * 3 * 12 * 200_000)
    expected = [int((bytes_left / 100) ** 0.5) - 2 * 8 for bytes_left in left]
    assert sides == [max(pipeline.SMALLEST_TILE, side // 2 * 2) for side in expected]


class Hungry(tiny.Tiny):
    """Runs out of memory above a size, as a GPU does."""

    largest = 60 * 60

    def enhance(self, x):
        if x.shape[-1] * x.shape[-2] > self.largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().enhance(x)


def test_loading_a_guide_is_no_part_of_the_time(monkeypatch):
    now = [0.0]

    class Guided(tiny.Tiny):
        def ready(self, device):
            now[0] += 100

        def enhance(self, x):
            now[0] += 1
            return super().enhance(x)

    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: now[0])
    assert restore(Guided().eval(), picture(32, 32), tile="none").seconds == 1


def test_out_of_memory_halves_the_tile_until_it_fits():
    torch.manual_seed(0)
    model = Hungry().eval()
    done = restore(model, picture(150, 170))
    assert done.tile == 170 // 2 // 2 and "out of memory" in done.notes[0]
    model.largest = 1 << 30
    np.testing.assert_allclose(done.pixels, restore(model, picture(150, 170)).pixels, atol=1)


def test_out_of_memory_in_the_end_is_one_sentence():
    model = Hungry().eval()
    model.largest = 10
    with pytest.raises(ImageError, match="even on tiles"):
        restore(model, picture(150, 170))


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch):
    model = tiny.make()
    monkeypatch.setattr(model, "enhance", lambda x: (_ for _ in ()).throw(RuntimeError("mat1 and mat2")))
    with pytest.raises(RuntimeError, match="mat1"):
        restore(model, picture(32, 32))


def test_methods_that_need_the_whole_picture_are_not_tiled_and_say_so():
    done = restore(registry.create("dark_channel"), picture(64, 64), tile=32)
    assert done.tiles == 1 and "needs to see the whole picture" in done.notes[0]


@pytest.mark.parametrize(("tile", "overlap"), [(8, None), ("big", None), (True, None), (64, -1)])
def test_senseless_tiles_are_refused(tile, overlap):
    with pytest.raises(UsageError):
        restore(tiny.make(), picture(80, 80), tile=tile, overlap=overlap)


def test_half_precision_is_close_and_recorded():
    model, seen = tiny.make(), []
    model.body.register_forward_hook(lambda module, given, result: seen.append(result.dtype))
    half, full = restore(model, picture(64, 64), dtype="bf16"), restore(model, picture(64, 64))
    assert (half.dtype, full.dtype) == ("bfloat16", "float32")
    assert seen == [torch.bfloat16, torch.float32], "the network's own numbers, not only the record"
    assert np.abs(half.pixels.astype(int) - full.pixels).max() <= 4


def test_restore_file_writes_a_png_and_a_record(tmp_path):
    write_picture(tmp_path / "in.bmp", picture(40, 50).pixels)
    record = restore_file(tmp_path / "in.bmp", tmp_path / "out", "bicubic_x2")
    written = read_picture(tmp_path / "out" / "in.png")
    assert (record.width, record.height) == (written.width, written.height) == (100, 80)
    assert record.output_sha256 == written.sha256 and record.model == "bicubic_x2"


def test_restore_file_overwrites_neither_the_picture_nor_another_result(tmp_path):
    write_picture(tmp_path / "in.png", picture(20, 22).pixels)
    before = (tmp_path / "in.png").read_bytes()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="overwritten by its own result"):
            restore_file(tmp_path / "in.png", tmp_path, "dark_channel", overwrite=overwrite)
    restore_file(tmp_path / "in.png", tmp_path / "out", "dark_channel")
    with pytest.raises(UsageError, match="there already"):
        restore_file(tmp_path / "in.png", tmp_path / "out", "lime")
    restore_file(tmp_path / "in.png", tmp_path / "out", "lime", overwrite=True)
    assert (tmp_path / "in.png").read_bytes() == before


def test_restore_file_takes_the_path_of_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_ARCHITECTURES", (*networks._ARCHITECTURES, tiny.ENTRY))
    write_folder(tiny.make(), tmp_path / "model")
    write_picture(tmp_path / "in.png", picture(20, 22).pixels)
    assert restore_file(tmp_path / "in.png", tmp_path / "out", tmp_path / "model", device="cpu").model == "tiny"


@pytest.mark.parametrize("change", [lambda x: x * 255, lambda x: 2 * x - 1, lambda x: x * float("nan")])
def test_values_out_of_range_are_refused_rather_than_clamped(change):
    x = picture(32, 40).to_tensor()
    with pytest.raises(ImageError, match=r"expected values in \[0, 1\], got .* divide"):
        restore(registry.create("dark_channel"), change(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ["scl_lle", "dark_channel"])
def test_tensors_of_any_precision_are_worked_on_in_single_precision(name, dtype):
    x, model = picture(32, 40).to_tensor().to(dtype), registry.create(name)
    np.testing.assert_array_equal(restore(model, x).pixels, restore(model, x.float()).pixels)


def test_pixels_of_numpy_and_pillow_are_pictures_too():
    from PIL import Image

    shot, model = picture(32, 40), registry.create("dark_channel")
    expected = restore(model, shot).pixels
    for given in (shot.pixels, Image.fromarray(shot.pixels), shot.pixels.astype(np.uint16) * 257):
        np.testing.assert_array_equal(restore(model, given).pixels, expected)
    for wrong in (shot.pixels[..., 0], shot.pixels / 255, Image.fromarray(shot.pixels).convert("L")):
        with pytest.raises(ImageError, match="expected uint8 or uint16 pixels"):
            restore(model, wrong)


def test_a_restored_picture_is_known_by_its_shape_too_and_cannot_be_written_to():
    wide, tall = (restore(registry.create("dark_channel"), np.zeros(shape, np.uint8)) for shape in (WIDE, TALL))
    assert wide.pixels.tobytes() == tall.pixels.tobytes()
    assert wide.picture.sha256 != tall.picture.sha256
    assert wide.picture.sha256 == pipeline.hash_pixels(wide.pixels)
    assert not wide.picture.pixels.flags.writeable and wide.pixels.flags.writeable
