"""A child that judges cases: one JSON request a line on stdin, one JSON answer a line on stdout.

A case that takes its process down is a result, not the end: the pool starts another child.
"""

import gc
import json
import os
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.operators.cases import Form, OperatorCase, cases
from benchmarks.operators.judges import TARGETS, Judgement, judge
from benchmarks.operators.peers import judge_artifact

# So many requests bring in every library.
_WARM = 16


def main() -> int:
    """Answer until stdin ends."""
    warnings.simplefilter("ignore")
    # Libraries print to descriptor 1, from C++ too; the answers keep a copy of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    known = list(cases())
    for number, line in enumerate(sys.stdin):
        if number < _WARM:
            # coremltools collects garbage in every conversion; what is loaded for good, the cases
            # and the libraries, need not be looked through.
            gc.freeze()
        verdict, reason = _examined(known, json.loads(line))
        answers.write(json.dumps({"verdict": verdict, "reason": " ".join(reason.split())}) + "\n")
    return 0


def _examined(known: list[OperatorCase], request: dict[str, str]) -> Judgement:
    case = known[int(request["case"])]
    form: Form = "constants" if request["form"] == "constants" else "given"
    with TemporaryDirectory(prefix="edgewright-") as name:
        try:
            if "artifact" in request:
                return judge_artifact(request["target"], case, form, Path(request["artifact"]))
            target = next(target for target in TARGETS if target == request["target"])
            return judge(target, case, form, Path(name))
        # A composition root: whatever is raised here would reach the user as a traceback.
        except Exception as error:
            return "crashed", f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
