"""A client of the local door: inference on this machine without a copy or a network.

    with Client("/run/edgewright/infer.sock") as client:
        model = client.model("fashion")
        logits = model.infer({"image": image})["logits"]

Needs Linux for memory shared with the server, and falls back to the socket elsewhere. Tensors
are anything with the buffer protocol; results are numpy arrays where numpy is installed.
"""

from edgewright_runtime.client.asynchronous import AsyncClient, AsyncModel, AsyncSlot
from edgewright_runtime.client.model import Client, Model, Step
from edgewright_runtime.client.slot import Slot

__all__ = ["AsyncClient", "AsyncModel", "AsyncSlot", "Client", "Model", "Slot", "Step"]
