"""Conv, ConvTranspose, DeformConv, CausalConvWithState and Col2Im against ONNX Runtime, torch and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from runtime_oracle import assert_same, by_us, model_of

from gradcheck_cli.onnx_ops import table
from gradcheck_cli.onnx_ops.convolution import conv, conv_transpose
from gradcheck_cli.onnx_ops.rearranging import col2im
from gradcheck_cli.onnx_ops.sampling import deform_conv


def arrays(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def drawn_geometry(rng: np.random.Generator, n: int) -> tuple[list[int], dict[str, Any]]:
    """A random kernel, strides, dilations, and padding of either form."""
    kernel = rng.integers(1, 4, n).tolist()
    attributes: dict[str, Any] = {"strides": rng.integers(1, 4, n).tolist()}
    form = rng.integers(0, 4)
    if form < 2:
        attributes["pads"] = [int(rng.integers(0, k)) for k in kernel * 2] if form else [k // 2 for k in kernel] * 2
    else:
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER", "VALID"][rng.integers(0, 3)]
    if rng.integers(0, 2) and not str(attributes.get("auto_pad", "")).startswith("SAME"):
        attributes["dilations"] = rng.integers(1, 3, n).tolist()
    return kernel, attributes


@pytest.mark.parametrize("seed", range(30))
def test_conv_is_onnx_runtimes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, group = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    kernel, attributes = drawn_geometry(rng, n)
    shapes = [(2, 2 * group, *rng.integers(5, 9, n).tolist()), (3 * group, 2, *kernel), (3 * group,)]
    assert_same(
        "Conv",
        arrays(seed, *shapes[: 2 + seed % 2]),
        group=group,
        opset=[1, 11, 22][seed % 3] if seed % 3 else 9,
        **attributes,
    )


@pytest.mark.parametrize("seed", range(30))
def test_conv_transpose_is_onnx_runtimes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, group = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    kernel, attributes = drawn_geometry(rng, n)
    sizes, strides = rng.integers(3, 6, n).tolist(), list(attributes["strides"])
    if seed % 3 == 0 and not str(attributes.get("auto_pad", "")).startswith("SAME"):
        attributes["output_padding"] = [int(rng.integers(0, s)) for s in strides]
    elif seed % 3 == 1 or str(attributes.get("auto_pad", "")).startswith("SAME"):
        attributes.pop("pads", None)
        dilations = attributes.get("dilations", [1] * n)
        full = [s * (i - 1) + (k - 1) * d + 1 for s, i, k, d in zip(strides, sizes, kernel, dilations, strict=True)]
        attributes["output_shape"] = [size - int(rng.integers(0, 2)) if size > 1 else size for size in full]
    shapes = [(2, 2 * group, *sizes), (2 * group, 3, *kernel), (3 * group,)]
    assert_same("ConvTranspose", arrays(seed, *shapes[: 2 + seed % 2]), group=group, opset=11, **attributes)


def test_common_forms_are_one_native_call() -> None:
    x, w = torch.randn(1, 2, 6, 6, requires_grad=True), torch.randn(3, 2, 3, 3, requires_grad=True)
    for y in (
        conv(x, w, pads=[1, 1, 1, 1], strides=[2, 2]),
        conv(x, w, auto_pad="SAME_UPPER"),
        conv_transpose(x, torch.randn(2, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        conv_transpose(x, torch.randn(2, 3, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER"),
    ):
        assert y.grad_fn is not None
        assert y.grad_fn.name() == "ConvolutionBackward0"
        assert y.grad_fn.next_functions[0][0].name() == "torch::autograd::AccumulateGrad"  # type: ignore[union-attr]


def test_asymmetric_transposed_convolution_has_its_gradient() -> None:
    x, w, b = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((1, 2, 4, 3), (2, 2, 3, 2), (2,)))
    assert torch.autograd.gradcheck(
        lambda *v: conv_transpose(*v, strides=[2, 3], pads=[2, 0, 0, 1], dilations=[1, 2]), (x, w, b), fast_mode=True
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_conv_takes_every_floating_type(dtype: torch.dtype) -> None:
    x, w = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    y = conv(x.to(dtype), w.to(dtype), pads=[0, 1, 1, 0])
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), conv(x, w, pads=[0, 1, 1, 0]), atol=0.1, rtol=0.05)


def test_conv_says_what_does_not_fit() -> None:
    x, w = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    with pytest.raises(ValueError, match=r"kernel_shape is \[2, 2\]"):
        conv(x, w, kernel_shape=[2, 2])
    with pytest.raises(ValueError, match="pads has 2 values"):
        conv(x, w, pads=[1, 1])
    with pytest.raises(ValueError, match="does not fit"):
        conv(x, w, dilations=[4, 4])
    with pytest.raises(ValueError, match="auto_pad 'SAME'"):
        conv(x, w, auto_pad="SAME")
    with pytest.raises(ValueError, match="spatial axis"):
        conv(torch.randn(2, 3), torch.randn(3, 3))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_deform_conv_without_offsets_is_conv(n: int) -> None:
    torch.manual_seed(n)
    x, w, b = torch.randn(2, 4, *[5] * n), torch.randn(6, 2, *[3] * n), torch.randn(6)
    geometry: dict[str, Any] = {
        "pads": [1, 0, 2][:n] + [0, 2, 1][:n],
        "strides": [2, 1, 2][:n],
        "dilations": [1, 2, 1][:n],
        "group": 2,
    }
    expected = conv(x, w, b, **geometry)
    offset = torch.zeros(2, 2 * 3**n * n, *expected.shape[2:])
    found = deform_conv(x, w, offset, b, offset_group=2, **geometry)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_deform_conv_of_whole_offsets_reads_shifted_values() -> None:
    x, w = torch.randn(1, 1, 6, 6), torch.randn(1, 1, 2, 2)
    offset = torch.zeros(1, 8, 5, 5)
    offset[:, 0::2] = 1  # one row down, everywhere
    expected = F.conv2d(F.pad(x, (0, 0, 0, 1))[:, :, 1:], w)
    torch.testing.assert_close(deform_conv(x, w, offset), expected)


def test_deform_conv_has_all_its_gradients() -> None:
    torch.manual_seed(0)
    shapes = ((1, 2, 4, 4), (2, 2, 2, 2), (1, 8, 3, 3), (2,), (1, 4, 3, 3))
    values = [torch.rand(s, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_() for s in shapes]
    assert torch.autograd.gradcheck(deform_conv, values, fast_mode=True)


@pytest.mark.parametrize("steps", [[3, 4], [1, 1, 5], [7]])
def test_causal_conv_in_parts_is_causal_conv_at_once(steps: list[int]) -> None:
    x, w, b = arrays(0, (2, 3, sum(steps)), (3, 1, 4), (3,))
    whole = F.silu(F.conv1d(F.pad(torch.from_numpy(x), (3, 0)), torch.from_numpy(w), torch.from_numpy(b), groups=3))
    state, parts = np.zeros((2, 3, 3), np.float32), []
    for part in np.split(x, np.cumsum(steps)[:-1], axis=2):
        model = model_of("CausalConvWithState", [part, w, b, state], ["y", "s"], opset=27, activation="silu")
        y, found = by_us(model, [part, w, b, state])
        state = found.numpy()
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 2), whole)


@pytest.mark.parametrize("pads", [[1, 0, 0, 1], [1, 1, 1, 1]])
def test_col2im_is_the_transpose_of_unfold(pads: list[int]) -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    padded = F.pad(image, (pads[1], pads[3], pads[0], pads[2]))
    columns = F.unfold(padded, (2, 3), dilation=(2, 1), stride=(1, 2))
    cotangent = torch.randn_like(columns)
    (expected,) = torch.autograd.grad(columns, image, cotangent)
    found = col2im(cotangent, torch.tensor([5, 6]), torch.tensor([2, 3]), dilations=[2, 1], strides=[1, 2], pads=pads)
    torch.testing.assert_close(found, expected)


def test_col2im_refuses_columns_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="make 20 columns"):
        col2im(torch.zeros(1, 4, 7), torch.tensor([5, 6]), torch.tensor([2, 2]))


def test_each_operator_is_there_from_its_first_version() -> None:
    for name, since in (
        ("Conv", 1),
        ("ConvTranspose", 1),
        ("DeformConv", 19),
        ("CausalConvWithState", 27),
        ("Col2Im", 18),
    ):
        assert table().find("", name, since) is not None
        assert since == 1 or table().find("", name, since - 1) is None
