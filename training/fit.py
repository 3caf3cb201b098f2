"""The training loop: one for every method, for a CPU, a GPU, or many by ``accelerate launch``.

A step is: draw the samples with the step's numbers, forward, backward, clip, step, follow with the moving average.
The learning rate is a function of the step alone and samples are functions of their number, so the saved state is
small (weights, moving average, optimiser) and a resumed run repeats the uninterrupted one exactly.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from devices import choose_device
from errors import UnveilError, UsageError, WeightsError
from restorers.base import flush_denormals
from training.ema import Average
from training.logbook import Logbook, read_rows
from training.recipe import Recipe, check_manifest
from training.task import Task, create_task

STATE = "state.pt"
"""In a run's folder: everything that a resumed run needs."""


@dataclass(frozen=True)
class Options:
    """What belongs to the machine and the moment, not to the recipe.

    Attributes:
        data: Folder of the training data.
        output: Folder of the run.
        cache: Folder for packed data, shared between runs.
        resume: Go on from the saved state, if there is one.
        changed: Go on although the recipe is not the run's; the one so far is kept as ``recipe-to-STEP.yaml``.
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: Processes that draw samples; 0 draws in the training process.
        tensorboard: Write TensorBoard events if it is installed.
        stop_after: End, with a saved state, after this step of the recipe's schedule.
    """

    data: Path
    output: Path
    cache: Path = Path("var/training")
    resume: bool = False
    changed: bool = False
    device: str = "auto"
    workers: int = 0
    tensorboard: bool = True
    stop_after: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How far a run got.

    Attributes:
        step: How many steps it has taken in all.
        steps: How many its recipe has.
        taken: How many of them were taken now; 0 for a run that was at its end before.
        figures: Means of the last validation; nothing before the first one.
    """

    step: int
    steps: int
    taken: int
    figures: dict[str, float]

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.steps


def fit(recipe: Recipe, options: Options) -> dict[str, float]:
    """Train by a recipe, as :func:`train` does, and return the last validation's means."""
    return train(recipe, options).figures


def train(recipe: Recipe, options: Options) -> Outcome:
    """Train by a recipe.

    Raises:
        UsageError: The options cannot be used, or the recipe is not that of the run to go on with.
        UnveilError: The data is not there, the state does not fit, or the loss is no longer finite.
    """
    _check(options)
    accelerator = start_accelerator(recipe, options.device)
    recipe = check_manifest(recipe, options.data)
    torch.manual_seed(recipe.seed)
    task = create_task(recipe)
    with accelerator.main_process_first():
        task.prepare(options.data, options.cache)
    if not (options.resume and (options.output / STATE).exists()):
        task.start()
    options.output.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, options, accelerator, task)
    if accelerator.is_main_process:
        (options.output / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    outcome = run.train()
    if accelerator.num_processes > 1:
        # Threads of a process group can abort a finished process; they end when nothing holds the group any more.
        accelerator.wait_for_everyone()
        del run
        accelerator.free_memory()
        accelerator.end_training()
    return outcome


def _check(options: Options) -> None:
    """Refuse numbers that mean nothing, and to begin a run in the folder of another.

    Raises:
        UsageError: There is one, and it is not to be gone on with.
    """
    if options.stop_after is not None and options.stop_after < 1:
        raise UsageError(f"--stop-after is {options.stop_after}; it has to be a step of the schedule, at least 1.")
    if options.workers < 0:
        raise UsageError(f"--workers is {options.workers}; it has to be a number of processes, 0 for none.")
    if options.changed and not options.resume:
        raise UsageError("--changed goes on with a run by another recipe; give --resume with it.")
    if not options.resume and (options.output / STATE).exists():
        raise UsageError(
            f"{options.output} holds a run; go on with it by --resume, choose another --output, or delete the folder."
        )


def start_accelerator(recipe: Recipe, device: str) -> Accelerator:
    """Processes, device and autocast.

    Raises:
        UsageError: CUDA was asked for and is not there, or the batch does not divide among the processes.
    """
    # Its functions keep the group that there is when they are first imported, as PyTorch does while it wraps a network:
    # so they are imported while there is none (see the end of ``fit``).
    import_module("torch.distributed.nn.functional")
    on_cpu = choose_device(device).type == "cpu"
    flush_denormals()
    if not on_cpu:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    precision = recipe.precision
    if precision == "auto":
        precision = "bf16" if _has_fast_bf16(on_cpu) else "fp32"
    # The library remembers the precision of a process's first run and refuses another.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    # Stages without some blocks, and steps without some losses, leave parameters without a gradient.
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    accelerator = Accelerator(
        cpu=on_cpu, mixed_precision="bf16" if precision == "bf16" else "no", kwargs_handlers=handlers
    )
    if recipe.batch % accelerator.num_processes:
        raise UsageError(
            f"A batch of {recipe.batch} does not divide among {accelerator.num_processes} processes; "
            "change one of the two."
        )
    return accelerator


def _has_fast_bf16(on_cpu: bool) -> bool:
    """Whether bfloat16 is computed by units made for it; emulated it is slower than single precision."""
    if not on_cpu:
        return torch.cuda.get_device_capability() >= (8, 0)
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


class Samples(Dataset):
    """The task's samples by number, as the loader wants them."""

    def __init__(self, task: Task) -> None:
        self.sample = task.sample

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.sample(index)


class Shares:
    """Numbers of the samples that one process sees, a list for each step from ``start`` on."""

    def __init__(self, batch: int, start: int, stop: int, rank: int, processes: int) -> None:
        self.batch, self.start, self.stop = batch, start, stop
        self.size = batch // processes
        self.offset = rank * self.size

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.stop):
            first = step * self.batch + self.offset
            yield list(range(first, first + self.size))

    def __len__(self) -> int:
        return self.stop - self.start


class Run:
    """A run in progress: networks, optimiser, step, log."""

    def __init__(self, recipe: Recipe, options: Options, accelerator: Accelerator, task: Task) -> None:
        self.recipe, self.options, self.accelerator, self.task = recipe, options, accelerator, task
        self.device = accelerator.device
        task.to(self.device)
        if accelerator.device.type == "cpu":
            task.to(memory_format=torch.channels_last)
        self.average = Average(task.model)
        self.optimizers = task.optimizers()
        self.step = 0
        self.saved: int | None = None
        self.totals: dict[str, Tensor] = {}
        self.stopping = False
        task.open_validation()
        resumed = options.resume and self._load_state()
        self.logbook = (
            Logbook(options.output, self.step if resumed else None, options.tensorboard)
            if accelerator.is_main_process
            else None
        )
        self.network: nn.Module = accelerator.prepare(task)

    def train(self) -> Outcome:
        """Run to the end of the recipe, to ``stop_after``, or to the first SIGTERM or Ctrl-C.

        Raises:
            UnveilError: The loss or the weights are no longer finite; the last good state stays what it is.
        """
        recipe, accelerator = self.recipe, self.accelerator
        stop = max(self.step, min(recipe.steps, self.options.stop_after or recipe.steps))
        shares = Shares(recipe.batch, self.step, stop, accelerator.process_index, accelerator.num_processes)
        loader = DataLoader(
            Samples(self.task),
            batch_sampler=shares,
            num_workers=self.options.workers,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.options.workers > 0,
        )
        begin, figures = self.step, self._last_figures() if self.step else {}
        clock = time.perf_counter()
        with self._signals():
            for batch in loader:
                self._take_step({key: value.to(self.device, non_blocking=True) for key, value in batch.items()})
                last = self.step == stop or self._someone_stops()
                if self.step % recipe.log_every == 0:
                    clock = self._log(clock)
                validates = self.step % recipe.validate_every == 0 or self.step == recipe.steps
                saves = self.step % recipe.save_every == 0 or last
                if validates or saves:
                    self._check_finite()
                if validates:
                    figures = self._validate()
                    clock = time.perf_counter()
                if saves:
                    self._save_state()
                if last:
                    break
        if self.logbook is not None:
            self.logbook.close()
        return Outcome(self.step, recipe.steps, self.step - begin, figures)

    def _take_step(self, batch: dict[str, Tensor]) -> None:
        self.optimizers.begin(self.step, self.task.learning_rate(self.step))
        # Whatever draws inside the network (dropout, negatives) is a function of the step as well.
        torch.manual_seed((self.recipe.seed << 32) + self.step)
        self.task.step = self.step
        self.network.train()
        with self.accelerator.autocast():
            losses = self.network(batch)
        self.accelerator.backward(losses["loss"])
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizers.step()
        self.step += 1
        self.average.update(self.task.model, self.step, self.task.decay(self.step - 1))
        for key, value in losses.items():
            value = value.detach().float()
            self.totals[key] = self.totals[key] + value if key in self.totals else value

    def _log(self, clock: float) -> float:
        count = self.recipe.log_every
        keys = sorted(self.totals)
        means = torch.stack([self.totals[key] for key in keys]) / count
        means = self.accelerator.reduce(means, "mean").tolist()
        self.totals = {}
        now = time.perf_counter()
        values = dict(zip(keys, means, strict=True))
        if not math.isfinite(values["loss"]):
            raise self._not_finite()
        if self.logbook is not None:
            rate = self.task.learning_rate(self.step - 1)
            seconds = (now - clock) / count
            self.logbook.write(
                "train", {"step": self.step, "learning_rate": rate, **values, "seconds_per_step": seconds}
            )
        return now

    def _check_finite(self) -> None:
        """Refuse to measure or keep what is no number any more; waits for the device.

        The last step's gradient can spoil the weights while its loss was finite, so these are looked at, too.
        """
        numbers = [*self.task.parameters(), *([self.totals["loss"]] if self.totals else [])]
        broken = ~torch.stack([value.detach().isfinite().all() for value in numbers]).all()
        if float(self.accelerator.reduce(broken.float(), "sum")):
            raise self._not_finite()

    def _not_finite(self) -> UnveilError:
        found = f"The loss or the weights are no longer finite at step {self.step}"
        cure = "a smaller learning_rate or clip, or precision: fp32"
        if self.saved is None:
            return UnveilError(f"{found}, and no state was saved before it; begin again with {cure}.")
        return UnveilError(
            f"{found}; {self.options.output / STATE} has the last good state, of step {self.saved}: go on from it by "
            f"--resume --changed with {cure}."
        )

    def _last_figures(self) -> dict[str, float]:
        """Of the last validation that the run's record holds."""
        path = self.options.output / "validation.csv"
        rows = read_rows(path) if path.exists() else []
        return {key: float(value) for key, value in rows[-1].items() if key != "step" and value} if rows else {}

    def _validate(self) -> dict[str, float]:
        model = self.average.model
        figures = self.task.validate(model)
        if self.logbook is not None:
            self.logbook.write("validation", {"step": self.step, **figures})
            self.task.keep(self.options.output, model, self.step, figures)
        return figures

    def _save_state(self) -> None:
        if self.accelerator.is_main_process:
            state = {
                "recipe": self.recipe.to_yaml(),
                "step": self.step,
                "task": self.task.state_dict(),
                "average": self.average.model.state_dict(),
                "optimizers": self.optimizers.state_dict(),
                "totals": self.totals,
            }
            part = self.options.output / f"{STATE}.part"
            torch.save(state, part)
            os.replace(part, self.options.output / STATE)
        self.saved = self.step
        self.accelerator.wait_for_everyone()

    def _load_state(self) -> bool:
        path = self.options.output / STATE
        if not path.exists():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            raise WeightsError(f"{path} is damaged or cut off; start the run again without --resume.") from error
        if "optimizers" not in state:
            raise WeightsError(f"{path} is of another version of this loop; start the run again without --resume.")
        if state["recipe"] != self.recipe.to_yaml():
            self._change_recipe(state["recipe"], state["step"], state["task"])
        self.task.load_state_dict(state["task"])
        self.average.model.load_state_dict(state["average"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.step, self.totals = state["step"], state["totals"]
        self.saved = self.step
        return True

    def _change_recipe(self, before: str, step: int, tensors: dict[str, Tensor]) -> None:
        """Keep the recipe that a run had so far.

        Raises:
            UsageError: Nobody asked for another one, its network has other tensors, or it ends before the run's step.
        """
        output, recipe = self.options.output, self.recipe
        if not self.options.changed:
            raise UsageError(
                f"{output} was trained by another recipe; resume with its own recipe.yaml, add --changed to go on with "
                "this one, or choose another --output."
            )
        was, now = ({key: value.shape for key, value in state.items()} for state in (tensors, self.task.state_dict()))
        if was != now:
            raise UsageError(f"{output} holds another network than this recipe's; choose another --output.")
        if step > recipe.steps:
            raise UsageError(
                f"{output} has taken {step} steps and this recipe ends with {recipe.steps}; raise its steps."
            )
        if self.accelerator.is_main_process:
            (output / f"recipe-to-{step:07d}.yaml").write_text(before, encoding="utf-8")

    def _someone_stops(self) -> bool:
        """Whether a signal arrived here or, with several processes, anywhere: all have to stop at the same step.

        Asking the others makes everyone wait, so it is done when a row of the log makes everyone wait anyway.
        """
        if self.accelerator.num_processes == 1:
            return self.stopping
        if self.step % self.recipe.log_every:
            return False
        flag = torch.tensor(float(self.stopping), device=self.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def _signals(self) -> _Stopper:
        return _Stopper(self)


class _Stopper:
    """While training, SIGTERM and Ctrl-C end the run after the current step, with a saved state."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.before: dict[int, Any] = {}

    def __enter__(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            self.run.stopping = True

        try:
            self.before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: signals are somebody else's business
            self.before = {}

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
