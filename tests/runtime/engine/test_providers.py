"""Which execution providers are asked for, with which options, and what is said of them."""

from pathlib import Path

import pytest
from edgewright_manifests.device_profile import load_profile
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.providers import (
    PROVIDERS,
    Wanted,
    as_wanted,
    fell_back,
    likely_providers,
    registered,
)
from edgewright_runtime.errors import BackendUnavailable
from edgewright_runtime.model_settings import ModelSettings, placed, settings_of

from tests.runtime import models

EVERYTHING = tuple(PROVIDERS.values())


def test_the_order_is_kept_and_what_the_build_lacks_is_passed_over() -> None:
    wanted = Wanted(as_wanted(["TensorRT, cuda", "cpu"]))
    assert [name for name, _ in registered(wanted, EVERYTHING, 1)] == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ]
    some = ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert [name for name, _ in registered(wanted, some, 1)] == list(some)
    with pytest.raises(BackendUnavailable, match="none of the providers qnn"):
        registered(Wanted(("qnn",)), some, 1)
    with pytest.raises(BackendUnavailable, match="no provider 'warp'"):
        registered(Wanted(("warp",)), some, 1)


def test_tensorrt_keeps_its_engines_in_the_folder_that_is_given() -> None:
    (found,) = registered(Wanted(("tensorrt",), Path("/var/lib/edgewright")), EVERYTHING, 1)
    assert found[1]["trt_engine_cache_enable"] == "1"
    assert found[1]["trt_engine_cache_path"] == "/var/lib/edgewright/tensorrt"


def test_a_fall_back_is_told_and_a_part_on_the_cpu_is_none() -> None:
    wanted = Wanted(("cuda", "cpu"))
    both = "onnxruntime CUDAExecutionProvider+CPUExecutionProvider"
    assert fell_back(wanted, both) is None
    assert fell_back(wanted, "onnxruntime CPUExecutionProvider") is not None
    assert fell_back(Wanted(("npu", "cpu")), "openvino NPU") is None
    assert fell_back(Wanted(("npu", "cpu")), "openvino CPU") == "wanted npu, runs on openvino CPU"
    assert fell_back(Wanted(), "onnxruntime CPUExecutionProvider") is None


def test_an_openvino_device_that_is_not_there_falls_back_and_is_told(tmp_path: Path) -> None:
    path = models.linear_openvino(tmp_path / "m.xml")
    wanted = Wanted(("npu", "cpu"), tmp_path / "cache")
    session = open_session("openvino", path, wanted=wanted)
    assert session.placement == "openvino CPU"
    assert fell_back(wanted, session.placement) == "wanted npu, runs on openvino CPU"
    session.close()


def test_auto_is_what_the_kind_of_machine_is_built_around() -> None:
    assert likely_providers(load_profile("jetson-orin-nano")) == ("tensorrt", "cuda", "cpu")


def test_providers_of_the_command_are_those_of_models_without_their_own() -> None:
    own = ModelSettings(providers=("cpu",), max_batch=4)
    settings = placed({"a": own}, ("cuda", "cpu"), "/cache")
    assert settings_of("a", settings).providers == ("cpu",)
    assert settings_of("a", settings).max_batch == 4
    assert settings_of("b", settings).providers == ("cuda", "cpu")
    assert settings_of("b", settings).provider_cache == "/cache"
    assert placed({"a": own}, (), None) == {"a": own}
