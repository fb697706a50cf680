"""Whether coremltools is installed: an extra, as only this target needs it."""

import importlib.util

from edgewright_manifests.variant import Target

from edgewright_converter.errors import TargetRefused

TARGET: Target = "coreml"


def coreml_problem() -> str:
    """Why the target cannot be made here; "" when it can."""
    if importlib.util.find_spec("coremltools") is not None:
        return ""
    return "coremltools is not installed; pip install 'edgewright-converter[coreml]'"


def require_coremltools() -> None:
    """Raises TargetRefused, with the extra to install, when coremltools is missing."""
    problem = coreml_problem()
    if problem:
        raise TargetRefused(TARGET, problem)
