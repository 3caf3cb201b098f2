"""Run inside a network namespace without any network: start the real app, restore, score, and rank a set.

``unshare -rn python tests/ui/offline_probe.py FOLDER`` prints what came out as JSON. Not a test by itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "assets" / "examples" / "haze"
PORT = 7861


def raise_loopback() -> None:
    """Switch on ``lo``, which a new network namespace has switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(probe, 0x8913, request))[1]
        fcntl.ioctl(probe, 0x8914, struct.pack("16sH14s", b"lo", flags | 1, b""))


def network_is_cut() -> bool:
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=2).close()
    except OSError:
        return True
    return False


def wait_for_answer(server: subprocess.Popen, seconds: float = 200) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.3)
    raise SystemExit(f"the app did not answer (exit status {server.poll()})")


def main() -> None:
    raise_loopback()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"GRADIO_SERVER_PORT": str(PORT), "UNVEIL_DATA": sys.argv[1]}
    found: dict[str, object] = {"cut": network_is_cut()}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        found["page"] = "gradio" in wait_for_answer(server)
        from gradio_client import Client, handle_file

        client = Client(f"http://127.0.0.1:{PORT}", verbose=False)
        hazy, clear = (handle_file(EXAMPLES / side / "cat.jpg") for side in ("hazy", "clear"))
        restored = client.predict(hazy, "dark_channel", api_name="/restore")
        found["restored_bytes"] = Path(restored).stat().st_size
        found["scores"] = {
            row["metric"]: row["value"] for row in client.predict(handle_file(restored), clear, api_name="/score")
        }
    finally:
        server.terminate()
        server.wait(20)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
