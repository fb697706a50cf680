"""Converts files by onnx2tf, under the Python of an environment that has it; imports nothing of us.

One JSON request a line on stdin (`model`, `artifact`), one JSON answer a line on stdout.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _convert(Path(request["model"]), Path(request["artifact"]))
        # A peer raises whatever it raises; every way of refusing counts alike.
        except (Exception, SystemExit) as error:
            text = " ".join(str(error).split())[:200]
            answers.write(json.dumps({"verdict": "refused", "reason": text}) + "\n")
            continue
        answers.write(json.dumps({"verdict": "written"}) + "\n")
    return 0


def _convert(model: Path, artifact: Path) -> None:
    from onnx2tf import onnx2tf  # type: ignore[import-not-found]  # the peer's environment only

    with tempfile.TemporaryDirectory() as name:
        onnx2tf.convert(
            input_onnx_file_path=str(model),
            output_folder_path=name,
            tflite_backend="flatbuffer_direct",
            copy_onnx_input_output_names_to_tflite=True,
            non_verbose=True,
        )
        made = sorted(Path(name).glob("*_float32.tflite"))
        if not made:
            raise RuntimeError("it wrote no float32 file")
        shutil.copyfile(made[0], artifact)


if __name__ == "__main__":
    sys.exit(main())
