"""Window attention: plain attention in one window, no leak between windows, bias by relative position."""

import pytest
import torch

from restorers.blocks.window_attention import WindowAttention, relative_positions


def test_one_window_is_plain_attention_with_a_bias():
    torch.manual_seed(0)
    layer = WindowAttention(6, heads=2, window=4)
    x = torch.randn(3, 4, 4, 6)
    q, k, v = layer.project_in(x.view(3, 16, 6)).chunk(3, -1)
    heads = []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        logits = q[..., part] @ k[..., part].transpose(1, 2) / 3**0.5
        for i in range(16):
            for j in range(16):
                down, right = i // 4 - j // 4, i % 4 - j % 4
                logits[:, i, j] += layer.bias[head, (down + 3) * 7 + right + 3]
        heads.append(logits.softmax(-1) @ v[..., part])
    wanted = layer.project_out(torch.cat(heads, -1)).view(3, 4, 4, 6)
    torch.testing.assert_close(layer(x), wanted)


@pytest.mark.parametrize("shift", [0, 2])
def test_what_happens_in_a_window_stays_in_it(shift):
    layer = WindowAttention(4, window=4, shift=shift)
    x = torch.randn(1, 8, 12, 4)
    changed = x.clone()
    changed[0, 0, 0] += 1
    moved = (layer(x) - layer(changed)).abs().sum(-1)[0] > 0
    reached = range(4 - shift)
    for row in range(8):
        for column in range(12):
            assert moved[row, column] == (row in reached and column in reached)


def test_shifted_windows_see_the_picture_mirrored_beyond_its_border():
    torch.manual_seed(0)
    shifted, plain = WindowAttention(4, window=4, shift=1), WindowAttention(4, window=4)
    plain.load_state_dict(shifted.state_dict())
    x = torch.randn(2, 8, 4, 4)
    rows = torch.tensor([1, *range(8), 6, 5, 4])
    columns = torch.tensor([1, *range(4), 2, 1, 0])
    torch.testing.assert_close(shifted(x), plain(x[:, rows][:, :, columns])[:, 1:9, 1:5])


def test_alignments_are_averaged_outside_training():
    torch.manual_seed(0)
    layer = WindowAttention(4, window=4, shift=3, alignments=2)
    x = torch.randn(1, 8, 8, 4)
    single = [WindowAttention(4, window=4, shift=shift) for shift in (3, 1)]
    for one in single:
        one.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer.train()(x), single[0](x))
    torch.testing.assert_close(layer.eval()(x), (single[0](x) + single[1](x)) / 2)


def test_relative_positions_are_what_they_say():
    table = relative_positions(3)
    assert table.shape == (9, 9)
    assert (table.diagonal() == 12).all()  # no offset: the middle of a 5 x 5 table
    assert table[0, 8] == 0 and table[8, 0] == 24
    assert len(table.unique()) == 25
