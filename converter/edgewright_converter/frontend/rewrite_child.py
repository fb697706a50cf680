"""The child of `rewrite`: `python -m ... simplify|raise-opset BEFORE AFTER`."""

import sys
from pathlib import Path

import onnx

from edgewright_converter.frontend.rewrite import QUANTIZABLE_OPSET


def main(arguments: list[str]) -> int:
    """Rewrite one file; 0 done, 1 with the reason as the last line of stderr."""
    operation, before, after = arguments
    model = onnx.load_model(before)
    if operation == "simplify":
        import onnxsim

        rewritten, same = onnxsim.simplify(model)
        if not same:
            sys.stderr.write("onnxsim's own check found a difference\n")
            return 1
    else:
        from onnx import version_converter

        rewritten = version_converter.convert_version(model, QUANTIZABLE_OPSET)
    Path(after).write_bytes(rewritten.SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
