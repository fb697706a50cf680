"""Olive's pass OnnxStaticQuantization with its defaults, by its documented run configuration."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from olive.data.registry import Registry  # type: ignore[import-not-found]  # its environment only
from olive.workflows import run  # type: ignore[import-not-found]  # its environment only

_, model, calibration, _, out = sys.argv


class Samples:
    """A dataset of (inputs by name, nothing): one sample each, a batch of one."""

    def __init__(self) -> None:
        self._arrays = dict(np.load(calibration))

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def __getitem__(self, index: int) -> tuple[dict[str, object], int]:
        return {name: value[index] for name, value in self._arrays.items()}, 0


@Registry.register_dataset()  # type: ignore[untyped-decorator]  # no types
def calibration_samples(**_: object) -> Samples:
    """What the data configuration below names."""
    return Samples()


work = Path(out) / "olive"
run(
    {
        "input_model": {"type": "ONNXModel", "model_path": model},
        "systems": {
            "local": {
                "type": "LocalSystem",
                "accelerators": [
                    {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
                ],
            }
        },
        "data_configs": [
            {
                "name": "samples",
                "type": "DataContainer",
                "load_dataset_config": {"type": "calibration_samples"},
                "pre_process_data_config": {"type": "skip_pre_process"},
                "post_process_data_config": {"type": "skip_post_process"},
                "dataloader_config": {"type": "default_dataloader", "batch_size": 1},
            }
        ],
        "passes": {"quantize": {"type": "OnnxStaticQuantization", "data_config": "samples"}},
        "host": "local",
        "target": "local",
        "output_dir": str(work / "out"),
        "cache_dir": str(work / "cache"),
        "log_severity_level": 4,
    }
)
found = sorted((work / "out").rglob("*.onnx"))
if not found:
    raise FileNotFoundError(json.dumps(f"Olive wrote no model under {work.name}"))
shutil.move(found[0], Path(out) / "model.onnx")
shutil.rmtree(work)
