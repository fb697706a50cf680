"""Why a TFLite file is not read; `read_tflite` adds the path."""

import enum


class Remedy(enum.Enum):
    """What the user can do about it."""

    COPY = "copy it again, or export it again"
    EXPORT = "export the model without this, or convert it from where it was trained"


class Refusal(Exception):
    """The file, or something in it, cannot be read; `problem` continues a sentence about it."""

    def __init__(self, problem: str, remedy: Remedy) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(problem)


def damaged(problem: str) -> Refusal:
    """The refusal of a file whose parts contradict each other or its length."""
    return Refusal(f"is damaged: {problem}", Remedy.COPY)
