"""What the parent asks of a door's child, and what the child answers: two JSON files."""

from edgewright_manifests.documents import Document

from edgewright_converter.frontend.doors.choice import Door


class DoorTask(Document, frozen=True):
    """One model to bring in. Paths are absolute, but `model` is as the person gave it."""

    door: Door
    model: str
    samples: str
    """The .npz that the examples came from, for messages; "" where there are none."""
    examples: str
    """An .npz of the first samples by input name; "" where there are none."""
    sizes: dict[str, tuple[int, ...]]
    """What --input-shape said, the batch first."""
    onnx: str
    """Where the result goes."""
    scratch: str
    """A folder for what the framework wants to put somewhere."""


class DoorAnswer(Document, frozen=True):
    """`refusal` is the line for the person; "" when the ONNX file is there."""

    refusal: str = ""
    notes: tuple[str, ...] = ()
