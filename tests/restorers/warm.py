"""Child processes that start in a moment: torch is imported once, and every piece of code runs in a fork of that.

The Hub's client reads its settings when it is imported, so each piece of code needs an interpreter that has not
imported it yet; but importing torch takes seconds, and nothing in it depends on those settings.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_SERVER = """
import json, os, sys
import torch, numpy, cv2, safetensors.torch  # slow, and indifferent to the environment
assert not any(name.startswith("huggingface_hub") for name in sys.modules)
print(flush=True)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        for stream, path in ((1, job["stdout"]), (2, job["stderr"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.environ.clear()
        os.environ.update(job["environment"])
        sys.argv = ["-c", *job["arguments"]]
        status = 1
        try:
            exec(compile(job["code"], "<child>", "exec"), {"__name__": "__main__"})
            status = 0
        except SystemExit as error:
            status = error.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Warm:
    """The waiting interpreter; use it in a ``with`` block."""

    def __enter__(self) -> Warm:
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._folder.cleanup()

    def run(self, code: str, environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a piece of code."""
        out, err = (Path(self._folder.name) / name for name in ("out", "err"))
        job = {"code": code, "environment": environment, "arguments": arguments, "stdout": str(out), "stderr": str(err)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = "\n"
        while answer == "\n":  # the first empty line says that it is ready
            answer = self._process.stdout.readline()
        return int(answer), out.read_text(), err.read_text()
