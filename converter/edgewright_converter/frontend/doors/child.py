"""The child of `launch`: `python -P -m ... TASK.json ANSWER.json`; it may crash, hang or run wild.

It loads the person's code and the framework, writes the ONNX file, and compares it.
"""

import ctypes
import signal
import sys
import tempfile
from pathlib import Path

import onnx
import onnx.inliner
from edgewright_manifests.documents import encode, read_json
from edgewright_manifests.errors import EdgewrightError
from edgewright_runtime.engine.telemetry import forbid_telemetry

from edgewright_converter.errors import ConverterError
from edgewright_converter.frontend.doors.comparison import answers_of, compare
from edgewright_converter.frontend.doors.examples import fit_examples, input_names, read_examples
from edgewright_converter.frontend.doors.original import SAME_SNR_DB, Attempt, Original
from edgewright_converter.frontend.doors.task import DoorAnswer, DoorTask

_PARENT_DIED = 1  # PR_SET_PDEATHSIG of prctl(2)


def main(arguments: list[str]) -> int:
    """Answer one task; the exit status is 0 also for a refusal, which is in the answer."""
    task = read_json(Path(arguments[0]), DoorTask)
    _settle(task)
    forbid_telemetry()
    try:
        answer = DoorAnswer(notes=_bring_in(task))
    except EdgewrightError as error:
        answer = DoorAnswer(refusal=str(error))
    except MemoryError:
        answer = DoorAnswer(
            refusal=f"{task.model}: needs more memory than allowed; give more with --memory-limit"
        )
    except Exception as error:  # the composition root of a process that runs foreign code
        answer = DoorAnswer(refusal=f"{task.model}: {_told(error)}; it fails in its own framework")
    Path(arguments[1]).write_bytes(encode(answer))
    return 0


def _settle(task: DoorTask) -> None:
    tempfile.tempdir = task.scratch
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)


def _bring_in(task: DoorTask) -> tuple[str, ...]:
    original = _open(task)
    given = read_examples(task)
    examples = fit_examples(task, original.inputs(input_names(task, given)), given)
    wanted = answers_of(original, examples)
    failures = []
    for attempt in original.attempts():
        path = Path(task.onnx)
        path.unlink(missing_ok=True)
        try:
            attempt.write(examples, path)
            _clean(path)
        except EdgewrightError:
            raise
        except Exception as error:  # exporters raise anything; the next way may work
            failures.append(f"{attempt.told}: {_told(error)}")
            continue
        problem, similar_db = compare(attempt, path, examples, wanted)
        if not problem:
            return _notes(attempt, failures, similar_db)
        failures.append(f"{attempt.told}: {problem}")
    raise ConverterError(f"{task.model}: cannot be made ONNX ({'; '.join(failures)})")


def _notes(attempt: Attempt, failures: list[str], similar_db: float) -> tuple[str, ...]:
    notes = [f"{failure}; {attempt.told} worked" for failure in failures]
    if failures and not attempt.dynamic_batch:
        notes.append("the batch is fixed to 1")
    if similar_db < SAME_SNR_DB:
        notes.append(
            f"its integer arithmetic became float32 with QuantizeLinear, which answers as the "
            f"file does to {similar_db:.1f} dB; convert the float model where you have it"
        )
    return tuple(notes)


def _open(task: DoorTask) -> Original:
    """One line a door. The frameworks are imported here, one of them, and nowhere else."""
    model = Path(task.model)
    match task.door:
        case "module":
            from edgewright_converter.frontend.doors.python_object import open_reference

            return open_reference(model)
        case "pt2":
            from edgewright_converter.frontend.doors.torch_module import ProgramOriginal

            return ProgramOriginal(model)
        case "keras":
            from edgewright_converter.frontend.doors.tensorflow_graph import KerasOriginal

            return KerasOriginal(model)
        case "saved-model":
            from edgewright_converter.frontend.doors.tensorflow_graph import SavedModelOriginal

            return SavedModelOriginal(model)
        case "tflite":
            from edgewright_converter.frontend.doors.tflite_file import TfliteOriginal

            return TfliteOriginal(model)
        case "onnx":
            raise ConverterError(f"{task.model}: is ONNX already")


def _clean(path: Path) -> None:
    """Take out what is no part of the model: the exporter's traces and our paths in them."""
    model = onnx.load(path)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    parts = [model, model.graph, *model.graph.node, *model.graph.value_info]
    for part in [*parts, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        part.doc_string = ""
        del part.metadata_props[:]
    path.write_bytes(model.SerializeToString(deterministic=True))


def _told(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
