"""Scoring jobs: they run in a thread of the server, keep their rows on disk, and outlive the page that started them.

A job is a folder::

    jobs/<id>/job.json      what to do (JobSpec)
    jobs/<id>/state.json    how far it is (JobState), rewritten as it goes
    jobs/<id>/rows.sqlite   its rows (eval.store)
    jobs/<id>/files/        the uploaded sets

The id is hard to guess, because who knows it sees the pictures. A server that was killed marks the job as interrupted
when it starts again; resuming scores only what is missing.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

from errors import UnveilError, UsageError
from eval import protocol as protocols
from eval.archives import UPLOAD_LIMITS
from eval.leaderboard import Leaderboard, build
from eval.methods import Method, parse_method, remarks
from eval.sets import ImageSet, open_set
from eval.store import Store
from ui.board_names import board_name, result_names
from ui.session import remove
from ui.settings import Settings

if TYPE_CHECKING:
    import pandas

KEPT_RANKINGS = 16
ENDED = ("done", "cancelled", "failed", "interrupted")


@dataclass(frozen=True)
class JobSpec:
    """What a job does; paths are relative to the job's ``files`` folder.

    Attributes:
        title: Name of the set, on the leaderboard too unless that has other pictures of this name.
        input: The degraded pictures.
        reference: The references, or None.
        methods: Names of restorers, "input", NAME=MODEL with the place of a model of the Hub or of a folder
            (:meth:`ui.engine.Engine.as_method`), or NAME=FILE for uploaded results.
        metrics: Metric names.
        protocol: Protocol name.
        share: Whether the rows go to the server's leaderboard.
        created: Seconds since the epoch.
    """

    title: str
    input: str
    reference: str | None
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    protocol: str
    share: bool = True
    created: float = field(default_factory=time.time)


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    Attributes:
        status: queued, running, done, cancelled, failed or interrupted.
        done: Scored (picture, method) pairs.
        total: All of them.
        eta_seconds: Time left, as far as it can be told.
        message: Why it failed; or the pairing in a sentence.
        board: Name of the set on the server's leaderboard; "" where the rows do not go there.
        renamed: Uploaded results that go by another name there ("ours as ours-2"); "" where none does.
        updated: Seconds since the epoch.
    """

    status: str = "queued"
    done: int = 0
    total: int = 0
    eta_seconds: float | None = None
    message: str = ""
    board: str = ""
    renamed: str = ""
    updated: float = field(default_factory=time.time)

    @property
    def ended(self) -> bool:
        """Nothing more will happen by itself."""
        return self.status in ENDED


class Jobs:
    """All jobs of a server; they run one after the other, so that every one runs at full speed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._runner = ThreadPoolExecutor(1, thread_name_prefix="job")
        self._stops: dict[str, Event] = {}
        self._rankings: dict[tuple[str, JobState, bool], Leaderboard] = {}
        self._lock = Lock()
        settings.jobs.mkdir(parents=True, exist_ok=True)
        self.sweep()
        for folder in self._folders():
            state = read_state(folder)
            if state is not None and not state.ended:
                write_state(folder, replace(state, status="interrupted", message="The server was restarted."))

    def new_folder(self) -> tuple[str, Path]:
        """An id and the folder for the files of a job that is being prepared."""
        job = secrets.token_urlsafe(12)
        files = self.settings.jobs / job / "files"
        files.mkdir(parents=True)
        return job, files

    def start(self, job: str, spec: JobSpec) -> None:
        """Queue a job whose files are in place."""
        folder = self._folder(job)
        (folder / "job.json").write_text(json.dumps(asdict(spec)), encoding="utf-8")
        with self._lock:
            self._enqueue(job)

    def resume(self, job: str) -> None:
        """Go on with a job that was cancelled or interrupted; asking twice is asking once."""
        with self._lock:
            if self.state(job).ended:
                self._enqueue(job)

    def cancel(self, job: str) -> None:
        """Ask a job to stop; its rows so far are kept."""
        with self._lock:
            if job in self._stops:
                self._stops[job].set()

    def spec(self, job: str) -> JobSpec:
        """What the job does.

        Raises:
            UsageError: There is no such job (any more).
        """
        path = self._folder(job) / "job.json"
        if not path.is_file():
            raise _gone()
        fields = json.loads(path.read_text(encoding="utf-8"))
        return JobSpec(**{**fields, "methods": tuple(fields["methods"]), "metrics": tuple(fields["metrics"])})

    def state(self, job: str) -> JobState:
        """How far it is.

        Raises:
            UsageError: There is no such job (any more).
        """
        state = read_state(self._folder(job))
        if state is None:
            raise _gone()
        return state

    def frame(self, job: str) -> pandas.DataFrame:
        """The job's rows so far."""
        with Store(self._folder(job) / "rows.sqlite") as store:
            return store.frame()

    def ranking(self, job: str, *, timings: bool) -> Leaderboard:
        """The rows so far, ranked; worked out once for every state of the job.

        Args:
            job: The job's id.
            timings: Whether restoring times are columns; files that are downloaded have none, as on the command line.

        Raises:
            UnveilError: There is nothing to rank.
        """
        key = (job, self.state(job), timings)
        found = self._rankings.get(key)
        if found is None:
            found = build(self.frame(job), timings=timings)
            if len(self._rankings) >= KEPT_RANKINGS:
                self._rankings.clear()
            self._rankings[key] = found
        return found

    def image_set(self, job: str) -> ImageSet:
        """The job's pictures.

        Raises:
            SetError: They cannot be opened.
            UsageError: They were deleted.
        """
        spec, files = self.spec(job), self._folder(job) / "files"
        if not files.is_dir():
            raise UsageError("The pictures of this job have been deleted; its scores are still here.")
        reference = files / spec.reference if spec.reference else None
        return open_set(files / spec.input, reference, limits=UPLOAD_LIMITS)

    def methods(self, job: str) -> tuple[Method, ...]:
        """The job's methods, uploaded results opened."""
        files = self._folder(job) / "files"
        found = []
        for item in self.spec(job).methods:
            name, equals, place = item.partition("=")
            uploaded = equals and not place.startswith(("hf-hub:", "local-dir:"))
            found.append(parse_method(f"{name}={files / place}" if uploaded else item, UPLOAD_LIMITS))
        return tuple(found)

    def sweep(self) -> None:
        """Delete the uploads of jobs that ended ``keep_hours`` ago, and what was never started in a day."""
        for folder in self._folders():
            state = read_state(folder)
            try:
                age = time.time() - (state.updated if state else folder.stat().st_mtime)
            except FileNotFoundError:
                continue  # another sweep was faster
            if state is None and age > 24 * 3600:
                remove(folder)
            elif state is not None and state.ended and age > self.settings.keep_hours * 3600:
                remove(folder / "files")

    def _folders(self) -> list[Path]:
        return [path for path in self.settings.jobs.iterdir() if path.is_dir()]

    def _enqueue(self, job: str) -> None:
        """Queue a job; the caller holds the lock."""
        stop = self._stops[job] = Event()
        write_state(self._folder(job), JobState())
        self._runner.submit(self._work, job, stop)

    def _work(self, job: str, stop: Event) -> None:
        """Runs in the job thread; whatever happens, the state says so at the end."""
        folder = self._folder(job)
        try:
            self._score(job, folder, stop)
        except UnveilError as error:
            write_state(folder, replace(self.state(job), status="failed", message=str(error)))
        except Exception:
            logging.getLogger(__name__).exception("job %s failed", job)
            message = (
                "Something in the program went wrong; the log of the server has the details. Rows so far are kept."
            )
            write_state(folder, replace(self.state(job), status="failed", message=message))
        finally:
            with self._lock:
                if self._stops.get(job) is stop:  # the job may have been resumed already
                    del self._stops[job]

    def _score(self, job: str, folder: Path, stop: Event) -> None:
        from eval.runner import make_plan, run

        if stop.is_set():
            write_state(folder, JobState("cancelled"))
            return
        spec = self.spec(job)
        image_set = self.image_set(job)
        methods = self.methods(job)
        plan = make_plan(image_set, methods, spec.metrics, protocols.get(spec.protocol), dataset=spec.title)
        shared = Store(self.settings.rows) if spec.share else nullcontext()
        with shared as board, Store(folder / "rows.sqlite") as store:
            name, others = "", {}
            if board is not None:
                name = board_name(board, spec.title, image_set.pairs)
                others = result_names(board, name, methods, image_set.pairs)
            renamed = ", ".join(f"{mine} as {other}" for mine, other in others.items())
            said = " ".join((image_set.report.sentence, *remarks(methods, image_set.pairs)))
            state = JobState("running", message=said, board=name, renamed=renamed)
            write_state(folder, state)
            for progress in run(plan, store, workers=self.settings.workers, stop=stop):
                if board is not None:
                    board.add(
                        replace(row, dataset=name, method=others.get(row.method, row.method)) for row in progress.rows
                    )
                state = replace(
                    state,
                    done=progress.done,
                    total=progress.total,
                    eta_seconds=progress.eta_seconds,
                    updated=time.time(),
                )
                write_state(folder, state)
        status = "cancelled" if stop.is_set() and state.done < state.total else "done"
        write_state(folder, replace(state, status=status, eta_seconds=0.0))

    def _folder(self, job: str) -> Path:
        if not job or not all(c.isalnum() or c in "-_" for c in job):
            raise _gone()
        return self.settings.jobs / job


def _gone() -> UsageError:
    return UsageError("There is no such job on this server; it may have been deleted. Start a new one.")


def read_state(folder: Path) -> JobState | None:
    """How far a job is; None where nothing says so. Fields of other versions are passed over."""
    known = {one.name for one in fields(JobState)}
    try:
        found = dict(json.loads((folder / "state.json").read_text(encoding="utf-8")))
        return JobState(**{key: value for key, value in found.items() if key in known})
    except (OSError, ValueError, TypeError):
        return None


def write_state(folder: Path, state: JobState) -> None:
    """Say how far a job is: whole or not at all, with the time of writing."""
    part = folder / "state.json.part"
    part.write_text(json.dumps(asdict(replace(state, updated=time.time()))), encoding="utf-8")
    part.replace(folder / "state.json")
