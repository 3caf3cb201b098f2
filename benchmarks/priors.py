"""What the embedded haze CLIP sees, beside the dark channel, and how fast.

    python benchmarks/priors.py [--data ../shared/data] [--parts maps,scores,words,learned,speed] [--every 1]

maps     Spearman of density maps with the true 1 - t, NYUv2 scenes 1349-1398 x ten betas, recipe of SOTS-indoor
scores   AUROC hazy against clear on pictures that training never saw, and on the other degradations
words    the same by single phrases, trained and held out
learned  prompts from 2 x 30 pictures against every hand-written haze set on 2 x 100 others
speed    dense pass against tile loop (random ViT-B-32 at 620x460), re-scoring, a table of 20 pictures x 10 prompts

Hazy pictures for ``scores`` and ``learned`` are photographs of the held-out parts with drawn haze, half of them also
noisy or JPEG-coded; the clear ones are the same photographs with the same noise and coding. Times are from one run.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._machine import report  # noqa: E402 - the script runs from anywhere
from guided_filter import guided_filter  # noqa: E402
from priors import prompts as prompt_sets  # noqa: E402
from priors.clip import ClipPrior, load  # noqa: E402
from priors.density import encode_many, encode_picture, scores_of, tile_features  # noqa: E402
from priors.evaluate import (  # noqa: E402
    LabelledFeatures,
    auroc,
    balanced_accuracy,
    calibration_error,
    rank,
    spearman,
)
from priors.learn import Settings, learn_from_features  # noqa: E402
from priors.prompts import PromptSet  # noqa: E402
from training import captions  # noqa: E402
from training.data import bsds, multi_exposure, nyu  # noqa: E402
from training.degradations import camera  # noqa: E402
from training.degradations.depth import photograph_depth  # noqa: E402
from training.degradations.haze import SOTS_BETAS, sots_pair  # noqa: E402
from training.haze_batches import Sampler, add_haze, open_pools  # noqa: E402
from training.haze_clip_validation import VALIDATION_SEED, bare_texts  # noqa: E402

MINIMUM_HAZE = 0.2


def dark_channel_map(batch: torch.Tensor) -> np.ndarray:
    """He et al.'s 1 - t with their settings (patch 15, guided filter 60, 1e-4), omega 1: the yardstick."""
    picture = np.ascontiguousarray(batch[0].permute(1, 2, 0).numpy())
    kernel = np.ones((15, 15), np.uint8)
    dark = cv2.erode(picture.min(2), kernel)
    count = max(1, dark.size // 1000)
    light = picture.reshape(-1, 3)[np.argsort(dark, axis=None)[-count:]].mean(0)
    density = cv2.erode((picture / light).min(2), kernel)
    return guided_filter(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), density, 60, 1e-4)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    """(H,W,3) uint8 to (1,3,H,W) in [0,1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def maps(prior: ClipPrior, data: Path, every: int) -> list[dict]:
    """Rank correlation per picture, averaged."""
    prompts = prompt_sets.get()
    native = min(prior.preprocess.size) // prior.patch_size
    routes = {
        "dense, native grid": {"grid": native, "route": "dense"},
        "dense, four grids": {"route": "dense"},
        "tiles": {"route": "tiles"},
        "dense and tiles (default)": {"route": "both"},
    }

    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("dark channel", *routes)}
    between = []
    for index, (_, picture, depth) in enumerate(nyu(data, validation=True)):
        for beta in SOTS_BETAS[index % every :: every]:
            hazy, _, t = sots_pair(tensor(picture), torch.from_numpy(depth)[None, None].float(), beta)
            hazy, truth = (hazy * 255).round() / 255, (1 - t)[0, 0].numpy()
            judge = lambda m, truth=truth: (spearman(m, truth), float(np.abs(m - truth).mean()))  # noqa: E731
            began = time.perf_counter()
            density = dark_channel_map(hazy)
            seconds = time.perf_counter() - began
            found["dark channel"].append((*judge(density), seconds))
            drawn = {}
            for name, options in routes.items():
                began = time.perf_counter()
                encoded = encode_picture(prior, hazy, **options)
                density = encoded.map(prompts)
                seconds = time.perf_counter() - began
                found[name].append((*judge(density), seconds))
                drawn[name] = encoded.map(prompts, refine=False)
            between.append(spearman(drawn["dense, four grids"], drawn["tiles"]))
    rows = [{"map": name, "spearman": float(np.mean([v[0] for v in values])),
             "lowest tenth": float(np.quantile([v[0] for v in values], 0.1)),
             "mean error": float(np.mean([v[1] for v in values])),
             "seconds": float(np.median([v[2] for v in values])), "pictures": len(values)}
            for name, values in found.items()]  # fmt: skip
    return [*rows, {**dict.fromkeys(rows[0], ""), "map": "dense against tiles", "spearman": float(np.mean(between))}]


def labelled_pictures(data: Path, seed: int = 5) -> list[tuple[torch.Tensor, torch.Tensor, bool]]:
    """(hazy, clear, outdoor photograph) from the held-out photographs, exposure series and NYU scenes."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    sources = [(p, None, True) for _, p in bsds(data, validation=True)]
    sources += [(p, None, True) for _, _, best, p in multi_exposure(data, validation=True) if best]
    sources += [(p, d, False) for _, p, d in nyu(data, validation=True)]
    pairs = []
    for pixels, depth, outdoor in sources:
        clear = tensor(pixels)
        field = photograph_depth(pixels, rng) if depth is None else depth.astype(np.float32) / depth.max()
        field = torch.from_numpy(cv2.resize(field, pixels.shape[1::-1]))[None, None]
        for _ in range(20):
            kind = torch.tensor([int(rng.choice(2, p=(0.7, 0.3)))])
            hazy, t = add_haze(clear, field, kind, torch.tensor([not outdoor]), generator)
            if float((1 - t).mean()) >= MINIMUM_HAZE:
                break
        spoil = rng.random() < 0.5
        sigma, quality = float(rng.uniform(0, 0.02)), int(rng.integers(40, 96))
        finish = lambda x, s=sigma, q=quality: camera.jpeg(camera.gaussian_noise(x, s, generator), [q])  # noqa: E731
        pairs.append((*((finish(x) if spoil else (x * 255).round() / 255) for x in (hazy, clear)), outdoor))
    return pairs


def encode_tensors(prior: ClipPrior, batches: list[torch.Tensor]) -> torch.Tensor:
    """(N,D) features of pictures of any size."""
    with torch.inference_mode():
        return torch.cat([prior.encode_image(batch) for batch in batches]).clone()


def scores(prior: ClipPrior, data: Path, cache: Path) -> list[dict]:
    """Hazy against clear by the default prompts; every built-in set on its own degradation."""
    pairs = labelled_pictures(data)
    rows = []
    for name, chosen in (
        ("photographs", [p for p in pairs if p[2]]),
        ("rooms", [p for p in pairs if not p[2]]),
        ("all", pairs),
    ):
        hazy, clear = ([p[i] for p in chosen] for i in (0, 1))
        labels = np.repeat([True, False], len(chosen))
        value = scores_of(prior, encode_tensors(prior, hazy + clear), prompt_sets.get())
        rows.append({"prompts": "haze", "pictures": name, **_judged(value, labels)})
        dark = np.array([dark_channel_map(x).mean() for x in hazy + clear])
        rows.append({"prompts": "dark channel's mean", "pictures": name, **_judged(dark, labels)})
    sampler = Sampler(open_pools(data, cache, validation=True), VALIDATION_SEED)
    batches = [sampler.batch(step, 40, (192, 192)) for step in range(10)]
    features, labels = (
        encode_tensors(prior, [b.pixels for b in batches]),
        torch.cat([b.labels for b in batches]).numpy(),
    )
    named = {"haze": "haze", "lowlight": "low-light", "overexposed": "over-exposure", "noise": "noise", "blur": "blur",
             "rain": "rain", "jpeg": "jpeg"}  # fmt: skip
    for index, concept in enumerate(captions.CONCEPTS):
        sure = (labels[:, index] < 0.1) | (labels[:, index] >= 0.5)
        value = scores_of(prior, features[torch.from_numpy(sure)], prompt_sets.get(named[concept]))
        rows.append(
            {"prompts": named[concept], "pictures": "mixed, 192x192", **_judged(value, labels[sure, index] >= 0.5)}
        )
    return rows


def _judged(value: np.ndarray, labels: np.ndarray) -> dict:
    return {"AUROC": auroc(value, labels), "accuracy": balanced_accuracy(value, labels),
            "calibration error": calibration_error(np.clip(value, 0, 1), labels), "with": int(labels.sum()),
            "without": int((~labels).sum())}  # fmt: skip


def words(prior: ClipPrior, data: Path, cache: Path) -> list[dict]:
    """Mean AUROC of single phrases against the mean of the trained phrases of the other end."""
    pairs = labelled_pictures(data)
    labels = np.repeat([True, False], len(pairs))
    hazy_clear = encode_tensors(prior, [p[0] for p in pairs] + [p[1] for p in pairs])
    sampler = Sampler(open_pools(data, cache, validation=True), VALIDATION_SEED)
    batches = [sampler.batch(step, 40, (192, 192)) for step in range(10)]
    mixed, mixed_labels = (
        encode_tensors(prior, [b.pixels for b in batches]),
        torch.cat([b.labels for b in batches]).numpy(),
    )
    rows = []
    for index, concept in enumerate(captions.CONCEPTS):
        features, truth = hazy_clear, labels
        if concept != "haze":
            sure = (mixed_labels[:, index] < 0.1) | (mixed_labels[:, index] >= 0.5)
            features, truth = mixed[torch.from_numpy(sure)], mixed_labels[sure, index] >= 0.5
        row: dict = {"concept": concept}
        for name, held_out in (("trained", False), ("held out", True)):
            values = []
            for present in (True, False):
                other = prior.encode_text(bare_texts(concept, not present, held_out=False)).mean(0)
                texts = prior.encode_text(bare_texts(concept, present, held_out=held_out))
                sign = 1 if present else -1
                values += [auroc((sign * (features @ (t - other / other.norm()))).numpy(), truth) for t in texts]
            row |= {
                f"{name} phrases": len(values),
                f"AUROC {name}": float(np.mean(values)),
                f"lowest {name}": min(values),
            }
        rows.append({**row, "difference": row["AUROC trained"] - row["AUROC held out"]})
    return rows


def learned(prior: ClipPrior, data: Path, folder: Path) -> list[dict]:
    """Learn from 30 + 30, judge on 100 + 100 others: other photographs, other haze."""
    rng = np.random.default_rng(11)
    pairs = labelled_pictures(data, seed=9)
    order = rng.permutation(len(pairs))
    few, others = [pairs[i] for i in order[:30]], [pairs[i] for i in order[30:130]]
    train = encode_tensors(prior, [p[0] for p in few] + [p[1] for p in few])
    crops = []
    for label in (0, 1):
        for pair in few:
            height, width = pair[label].shape[-2:]
            for _ in range(3):
                side = int(min(height, width) * rng.uniform(0.5, 1))
                top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
                crops.append(pair[label][..., top : top + side, left : left + side])
    features = torch.cat([train, encode_tensors(prior, crops)])
    labels = torch.cat([torch.tensor([1.0] * 30 + [0.0] * 30), torch.tensor([1.0] * 90 + [0.0] * 90)])
    made = learn_from_features(prior, features, labels, start=prompt_sets.get(), settings=Settings(), pictures=(30, 30))
    folder.mkdir(parents=True, exist_ok=True)
    saved = made.save(folder / "learned.safetensors")
    draw_curve(made.curve, ROOT / "docs" / "images" / "learned_prompts.png")
    test = encode_tensors(prior, [p[0] for p in others] + [p[1] for p in others])
    judged = LabelledFeatures(test, np.repeat([True, False], len(others)), ())
    written = [prompt_sets.get(name) for name in ("haze", "fog", "smog", "smoke")]
    written += [PromptSet("hazy image / clear image", ("hazy image",), ("clear image",))]
    return rank(prior, judged, [saved, *written]).to_dict("records")


def draw_curve(curve: tuple[float, ...], path: Path) -> None:
    """Loss per step as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
    axes.plot(curve, color="#b1440e")
    axes.set(xlabel="step", ylabel="loss", title="Learned prompts, 30 + 30 pictures")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def speed(prior: ClipPrior, data: Path) -> list[dict]:
    """Ratios within one run, best of three."""
    import open_clip

    from priors.sources import Loaded

    def best(work, repeats: int = 3) -> float:  # noqa: ANN001
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return min(times)

    random = open_clip.create_model("ViT-B-32").eval().requires_grad_(False)
    big = ClipPrior(Loaded("random ViT-B-32", random, open_clip.get_tokenizer("ViT-B-32"), ""))
    batch = torch.rand(1, 3, 460, 620)
    rows = []
    with torch.inference_mode():
        dense = best(lambda: big.encode_patches(batch))
        tiles = best(lambda: tile_features(big, batch, fraction=0.25), 1)
        count = tile_features(prior, batch, fraction=0.25).features[0].numel()
        own_dense = best(lambda: prior.encode_patches(batch))
        own_tiles = best(lambda: tile_features(prior, batch, fraction=0.25), 1)
    rows.append({"what": "ViT-B-32: dense pass 620x460", "milliseconds": 1e3 * dense, "ratio": tiles / dense})
    rows.append(
        {"what": f"ViT-B-32: {count} tiles of a quarter, half overlapping", "milliseconds": 1e3 * tiles, "ratio": 1.0}
    )
    rows.append(
        {"what": "embedded: dense pass 620x460", "milliseconds": 1e3 * own_dense, "ratio": own_tiles / own_dense}
    )
    rows.append({"what": f"embedded: {count} tiles", "milliseconds": 1e3 * own_tiles, "ratio": 1.0})
    encoded = encode_picture(prior, batch)
    number = iter(range(10_000))
    fresh = lambda: PromptSet("x", (f"a hazy photo {next(number)}",), ("a clear photo",))  # noqa: E731

    def rescore() -> None:
        encoded.score(fresh())

    def redraw() -> None:
        prompts = fresh()
        encoded.score(prompts)
        encoded.map(prompts)

    rows.append({"what": "embedded: new words, score", "milliseconds": 1e3 * best(rescore, 9), "ratio": ""})
    rows.append({"what": "embedded: new words, score and map", "milliseconds": 1e3 * best(redraw, 9), "ratio": ""})
    from images import Picture

    pictures = [Picture(p, "", str(i)) for i, (_, p) in zip(range(20), bsds(data, validation=True), strict=False)]
    sets = [PromptSet(f"s{i}", (f"a hazy photo of {i}",), (f"a clear photo of {i}",)) for i in range(10)]

    def table() -> None:
        features = encode_many(prior, pictures)
        for prompts in sets:
            scores_of(prior, features, prompts)

    rows.append(
        {"what": "embedded: 20 photographs x 10 prompt sets", "milliseconds": 1e3 * best(table, 1), "ratio": ""}
    )
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "cache")
    parser.add_argument("--clip", default="embedded")
    parser.add_argument("--parts", default="maps,scores,words,learned,speed")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="maps: every Nth beta of a scene")
    arguments = parser.parse_args()
    for name in ("nyu_images.tar", "nyu_depth.tar", "bsds400.tar", "multi_exposure.tar"):
        if not (arguments.data / name).is_file():
            print(f"skipped: there is no {name} in {arguments.data}; name its folder with --data")
            return
    prior = load(arguments.clip)
    parts = {
        "maps": lambda: maps(prior, arguments.data, arguments.every),
        "scores": lambda: scores(prior, arguments.data, arguments.cache),
        "words": lambda: words(prior, arguments.data, arguments.cache),
        "learned": lambda: learned(prior, arguments.data, ROOT / "runs" / "learned"),
        "speed": lambda: speed(prior, arguments.data),
    }
    for name in arguments.parts.split(","):
        print(f"\n{name} ({prior.name}, sha256 {prior.sha256[:12]})")
        rows = [{**row, "clip_sha256": prior.sha256[:12]} for row in parts[name]()]
        report(f"priors_{name}", rows, "torch", "open_clip_torch")


if __name__ == "__main__":
    main()
