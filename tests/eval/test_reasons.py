"""One sentence a reason: what differs only in names and numbers is one."""

from eval.exports.reasons import grouped, reasons
from eval.selection import Failure


def test_names_sizes_and_methods_do_not_make_reasons():
    lost = [
        Failure(f"rooms/{name}", method, "", f"{name}.png is {size} but its reference {name}_clear.JPG is 60x50.")
        for name, size in (("0004", "112x104"), ("my cat", "96x88"))
        for method in ("input", "DCP", "net")
    ]
    found = "2 images have no score with DCP, input and net, for example: 0004.png is 112x104 but its reference"
    assert reasons(lost, str.upper) == [f"{found} 0004_clear.JPG is 60x50."]


def test_the_commonest_reason_comes_first_and_says_which_scores_are_missing():
    lost = [Failure("a", "x", "", "a.png is empty (0 bytes); upload it again.")]
    lost += [Failure(name, "x", metric, "It is flat.") for name in "bcd" for metric in ("psnr", "ssim")]
    assert reasons(lost, str.upper) == [
        "3 images have no PSNR and SSIM with x, for example: It is flat.",
        "1 image has no score with x: a.png is empty (0 bytes); upload it again.",
    ]


def test_long_lists_are_counted():
    lost = [Failure("a", "x", name, f"No {name} here.") for name in ("psnr", "ssim", "niqe")]
    assert reasons(lost, str.upper, most=1) == [
        "1 image has no PSNR with x: No psnr here.",
        "Reasons beyond these: 2; the rows have them all.",
    ]
    assert reasons([], str.upper) == [] == grouped([])


def test_images_kept_apart_by_their_hash_and_short_names_group():
    lost = [Failure(f"{n}#1a2b3c4d", "x", "psnr", f"{n}.png has no reference.") for n in ("a", "b")]
    assert len(reasons(lost, str.upper)) == 1
