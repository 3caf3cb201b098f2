"""Putting a model on the Hub: configuration, safetensors, and a model card with the measured figures."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from errors import UsageError, WeightsError, first_line
from hashing import sha256_of
from restorers.base import Restorer
from restorers.card import TASKS, Figure, RestorerCard
from restorers.checkpoint import WEIGHTS_NAME, architecture_of, write_config
from version import __version__

_TAGS = {
    "dehaze": ("image-dehazing", "image-restoration"),
    "lowlight": ("low-light-enhancement", "image-restoration"),
    "sr": ("super-resolution", "image-restoration"),
    "refine": ("image-restoration",),
}

_TEMPLATE = """---
{{ card_data }}
---

# {{ card.title }}

{{ card.summary }}

| | |
|---|---|
| Task | {{ task }} |
| Paper | {{ paper }} |
| Parameters | {{ "{:,}".format(card.parameters) }} |
| Scale | {{ card.scale }} |
| Licence | {{ card.licence }} |
| Weights | `{{ weights_name }}`, sha256 `{{ sha256 }}` |
| Trained on | {{ card.trained_on or "not stated" }} |

## Use

```bash
python -m restorers run --model {{ repo_id }} picture.jpg --output restored
```

```python
from restorers.pipeline import restore_file

restore_file("picture.jpg", "restored", "{{ repo_id }}")
```

Input and output are RGB in [0, 1]; any size from 16x16. Loading is strict, and the hash above is checked.

## Measured
{% if card.figures %}
| data | protocol | metric | value | command |
|---|---|---|---|---|
{%- for figure in card.figures %}
| {{ figure.dataset }} | {{ figure.protocol }} | {{ figure.metric }} | {{ figure.value }} |
{%- if figure.command %} `{{ figure.command }}` {% endif %} |
{%- endfor %}
{% else %}
No figures have been measured for these weights.
{% endif %}
Written by version {{ version }} of the code.
"""


@dataclass(frozen=True)
class Published:
    """Where a model went.

    Attributes:
        repo_id: ``ORG/NAME``.
        revision: The commit, to be pinned by those who want exactly this.
        weights_sha256: Hash of the weight file.
    """

    repo_id: str
    revision: str
    weights_sha256: str


def push(model: Restorer, repo_id: str, *, private: bool = False, weights_file: str | Path | None = None) -> Published:
    """Create a repository if needed and commit a model to it.

    Args:
        model: One of this project's networks, with weights.
        repo_id: ``ORG/NAME``.
        private: Whether a new repository is private.
        weights_file: Upload these bytes, which the model was loaded from, in place of a fresh copy: the hash then
            stays the one that figures were measured with.

    Raises:
        WeightsError: Not one of our networks, or the Hub refused.
        UsageError: The repository's name is impossible.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    from restorers.download import explained

    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise UsageError(f"{repo_id!r} is no place on the Hub to put a model; give ORG/NAME, your own name for ORG.")
    with tempfile.TemporaryDirectory() as folder:
        digest = write_folder(model, folder, repo_id=repo_id, weights_file=weights_file)
        api = HfApi()
        try:
            with explained(repo_id, uploading=True):
                api.create_repo(repo_id, private=private, exist_ok=True)
                done = api.upload_folder(
                    repo_id=repo_id,
                    folder_path=folder,
                    commit_message=f"Add {model.card.title} ({digest[:12]}), code {__version__}",
                )
        except LocalTokenNotFoundError as error:
            raise WeightsError("You are not logged in to the Hub; run 'hf auth login' or set HF_TOKEN.") from error
    return Published(repo_id, done.oid, digest)


def write_folder(
    model: Restorer, folder: str | Path, *, repo_id: str = "ORG/NAME", weights_file: str | Path | None = None
) -> str:
    """Write ``config.json``, ``model.safetensors`` and ``README.md``; returns the hash of the weights.

    Raises:
        WeightsError: The model is not one of this project's networks, or wraps one that is not; nothing is written.
    """
    architecture_of(model)
    model.check_savable()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / WEIGHTS_NAME
    if weights_file is not None:
        shutil.copyfile(weights_file, target)
    else:
        from safetensors.torch import save_file

        tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
        save_file(tensors, target, {"format": "pt"})
    digest = sha256_of(target)
    write_config(folder, model, digest)
    (folder / "README.md").write_text(str(model_card(model.card, repo_id, digest)), encoding="utf-8")
    return digest


def measured(run: Path, weights_sha256: str | None) -> tuple[Figure, ...]:
    """Figures that ``python -m training evaluate`` wrote into a run's folder; none if it measured other weights.

    Args:
        run: The folder, with ``evaluation.json``.
        weights_sha256: Hash of the weights that are to be published.

    Raises:
        WeightsError: The file is damaged.
    """
    path = run / "evaluation.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["weights_sha256"] != weights_sha256:
            return ()
        limit = f" --limit {found['limit']}" if found.get("limit") else ""
        command = f"python -m training evaluate RUN --data ROOT{limit}"
        dataset = f"{found['dataset']} ({found['pairs']} pairs)"
        return tuple(
            Figure(dataset, str(found["protocol"]), metric, round(float(found[metric]), 4), command)
            for metric in ("psnr", "ssim")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({first_line(error)}); evaluate the run again.") from error


def model_card(card: RestorerCard, repo_id: str, weights_sha256: str) -> ModelCard:
    """Model card with the card's figures as ``model-index``."""
    spdx = " " not in card.licence
    data = ModelCardData(
        library_name="unveil",
        pipeline_tag="image-to-image",
        license=card.licence.lower() if spdx else "other",
        license_name=None if spdx else card.licence,
        tags=[card.name.split("-")[0], *_TAGS[card.task]],
        model_name=card.title,
        eval_results=[
            EvalResult(
                task_type="image-to-image",
                task_name=TASKS[card.task],
                dataset_type=figure.dataset.lower().replace(" ", "-"),
                dataset_name=figure.dataset,
                metric_type=figure.metric.lower(),
                metric_name=f"{figure.metric} ({figure.protocol})",
                metric_value=figure.value,
            )
            for figure in card.figures
        ]
        or None,
    )
    return ModelCard.from_template(
        data,
        template_str=_TEMPLATE,
        card=card,
        task=TASKS[card.task],
        paper=f"[{card.paper}]({card.paper_url})" if card.paper_url else card.paper or "none",
        repo_id=repo_id,
        sha256=weights_sha256,
        weights_name=WEIGHTS_NAME,
        version=__version__,
    )
