"""A stand-in for the Hugging Face Hub on the loopback interface, for the real ``huggingface_hub`` client to talk to.

It keeps repositories in memory and answers the requests that downloading, listing, creating and committing make,
with the status codes and headers of the real one. It is no Hub: no search, no pull requests, no Xet storage.

The client reads its settings when it is imported, so client code runs in a child process:

    with StandInHub() as hub:
        hub.add("dataset", "lab/haze", {"metadata.csv": b"...", "hazy/1.png": png})
        subprocess.run([sys.executable, "-c", code], env=hub.environment(tmp_path), check=True)
        hub.files("model", "lab/uploaded")["model.safetensors"]     # what the client committed
        hub.requests                                                # ("GET", "/api/datasets/lab/haze/..."), ...
"""

from tests.standin_hub.server import TOKEN, StandInHub

__all__ = ["TOKEN", "StandInHub"]
