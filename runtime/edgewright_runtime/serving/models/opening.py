"""Opens a release in the loading thread, and remembers what that took."""

import logging
import time

from edgewright_runtime.engine.artifact import Artifact, misplaced
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.generation import LoadedGeneration, load_generation
from edgewright_runtime.serving.models.footprints import (
    Footprint,
    Footprints,
    content_key,
    size_bytes,
)
from edgewright_runtime.serving.models.loader import Loader, give_back_memory
from edgewright_runtime.serving.models.memory import Growth, measured

_log = logging.getLogger(__name__)


async def open_measured(
    loader: Loader,
    footprints: Footprints,
    model: str,
    name: str,
    artifact: Artifact,
    settings: ModelSettings,
    threads: int,
) -> LoadedGeneration:
    """Loaded and warm. Raises what `load_generation` raises."""
    started = time.monotonic()

    def open_it() -> tuple[LoadedGeneration, Growth, str]:
        content = content_key(artifact)
        key = (content, threads, settings)
        with measured() as growth:
            loaded = load_generation(
                name,
                artifact,
                threads=threads,
                settings=settings,
                remembered=lambda measure: footprints.plans.plan(key, measure),
            )
            give_back_memory()  # what only loading needed
        return loaded, growth, content

    generation, growth, content = await loader.run(
        open_it, starts_threads=threads > 1 or artifact.target != "onnx"
    )
    load_s = time.monotonic() - started
    if growth.peak is not None and growth.kept is not None:
        # Pages that were free before are no growth; less than its weights it never takes.
        kept = max(growth.kept, size_bytes(artifact))
        found = Footprint(max(growth.peak, kept), kept, load_s)
        await loader.run(lambda: footprints.note(content, found))
        generation.kept_bytes = kept
    _log.info(
        "generation loaded model=%s generation=%s variant=%s placement=%s seconds=%.2f "
        "peak_bytes=%s kept_bytes=%s",
        model, name, artifact.variant, generation.session.placement, load_s,
        growth.peak, growth.kept,
    )  # fmt: skip  # fields in one line
    astray = misplaced(generation.artifact, generation.session)
    if astray is not None:
        _log.warning("placement differs model=%s generation=%s %s", model, name, astray)
    return generation


def close_and_free(generation: LoadedGeneration) -> None:
    """In the loading thread: free it, and give the memory back."""
    generation.session.close()
    give_back_memory()
