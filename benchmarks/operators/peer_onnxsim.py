"""Converts files by onnxsim.export_coreml, under the Python of an environment that has it and
coremltools; imports nothing of us.

One JSON request a line on stdin (`model`, `artifact`), one JSON answer a line on stdout.
"""

import json
import os
import sys
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


def _convert(path: Path, artifact: Path) -> None:
    import coremltools
    import onnx
    import onnxsim

    model, same = onnxsim.simplify(onnx.load(path))
    onnxsim.export_coreml(
        model if same else onnx.load(path),
        str(artifact),
        compute_precision=coremltools.precision.FLOAT32,
        minimum_deployment_target="iOS16",
    )


if __name__ == "__main__":
    sys.exit(main())
