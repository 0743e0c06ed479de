"""The operators of ONNX that are in our files, as their pages define them (https://onnx.ai/onnx/operators), in numpy and in the
simplest way: an evaluator for machines that have none. run(model, x) gives the model's output."""
import itertools
import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def dense(sparse):
    values = np.zeros(math.prod(sparse.dims))
    values[numpy_helper.to_array(sparse.indices)] = numpy_helper.to_array(sparse.values)
    return values.reshape(sparse.dims)


def windows(x, kernel, strides, pads, fill):
    """Of x [N, C, ...]: [N, C, positions ..., offsets ...]"""
    n = len(kernel)
    x = np.pad(x, [(0, 0), (0, 0)] + [(pads[i], pads[n + i]) for i in range(n)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axis=tuple(range(2, 2 + n)))
    return view[(slice(None), slice(None), *(slice(None, None, s) for s in strides))]


def conv(x, W, b=0, *, kernel_shape, strides, pads, group=1):
    n, out = len(kernel_shape), len(W) // group
    parts = []
    for g in range(group):
        patches = windows(x[:, g * W.shape[1] : (g + 1) * W.shape[1]], kernel_shape, strides, pads, 0)
        axes = [1, *range(2 + n, 2 + 2 * n)]
        y = np.tensordot(patches, W[g * out : (g + 1) * out], (axes, range(1, 2 + n)))  # [N, positions ..., out]
        parts.append(np.moveaxis(y, -1, 1))
    return np.concatenate(parts, 1) + np.reshape(b, (-1,) + (1,) * n)


def conv_transpose(x, W, b=0, *, kernel_shape, strides, pads, output_padding, group=1):
    (H, V), (s, t), n, out = kernel_shape, strides, x.shape[1] // group, W.shape[1]
    h, w = ((x.shape[2 + i] - 1) * strides[i] + kernel_shape[i] + output_padding[i] for i in (0, 1))
    y = np.zeros((len(x), out * group, h, w))
    for g, i, j in itertools.product(range(group), range(x.shape[2]), range(x.shape[3])):
        patch = np.tensordot(x[:, g * n : (g + 1) * n, i, j], W[g * n : (g + 1) * n], 1)
        y[:, g * out : (g + 1) * out, i * s : i * s + H, j * t : j * t + V] += patch
    return y[:, :, pads[0] : h - pads[2], pads[1] : w - pads[3]] + np.reshape(b, (-1, 1, 1))


def pool(x, reduce, fill, *, kernel_shape, strides, pads=(0, 0, 0, 0)):
    return reduce(windows(x, kernel_shape, strides, pads, fill), (-2, -1))


def batch_normalization(x, gamma, beta, mean, variance, *, epsilon):
    gamma, beta, mean, variance = (np.reshape(v, (1, -1) + (1,) * (x.ndim - 2)) for v in (gamma, beta, mean, variance))
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def layer_normalization(x, gamma, beta, *, axis, epsilon):
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def gru(x, W, R, b, *, hidden_size, linear_before_reset):
    assert linear_before_reset == 1
    H, h, states = hidden_size, np.zeros((x.shape[1], hidden_size)), []
    for x_t in x:
        a, u = x_t @ W[0].T + b[0, : 3 * H], h @ R[0].T + b[0, 3 * H :]
        z, r = sigmoid(a[:, :H] + u[:, :H]), sigmoid(a[:, H : 2 * H] + u[:, H : 2 * H])
        h = (1 - z) * np.tanh(a[:, 2 * H :] + r * u[:, 2 * H :]) + z * h
        states.append(h[None])
    return np.stack(states)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, *, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def reshape(x, extents):
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(extents)])


operators = {
    "Abs": np.abs,
    "Add": np.add,
    "AveragePool": lambda x, count_include_pad, **o: pool(x, np.mean, 0, **o),
    "BatchNormalization": batch_normalization,
    "Cast": lambda x, to: x.astype({TensorProto.INT64: "i8"}[to]),
    "Constant": lambda sparse_value: dense(sparse_value),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Erf": np.vectorize(math.erf),
    "Flatten": lambda x: x.reshape(len(x), -1),
    "Floor": np.floor,
    "Gather": lambda x, indices, axis: np.take(x, indices, axis),
    "Gemm": lambda x, W, b=0, transB=0: x @ (W.T if transB else W) + b,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdims=True),
    "GRU": gru,
    "Identity": lambda x: x,
    "LayerNormalization": layer_normalization,
    "MatMul": np.matmul,
    "MaxPool": lambda x, **o: pool(x, np.max, -np.inf, **o),
    "Mean": lambda *all: sum(all) / len(all),
    "Min": np.minimum,
    "Mul": np.multiply,
    "ReduceMean": lambda x, axes, keepdims: x.mean(tuple(axes), keepdims=bool(keepdims)),
    "Relu": lambda x: np.maximum(x, 0),
    "Reshape": reshape,
    "Sigmoid": sigmoid,
    "Softmax": softmax,
    "Tanh": np.tanh,
    "Transpose": lambda x, perm: np.transpose(x, perm),
}


def run(model, x):
    graph = model.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # In double, so that what differs is what was to be tested.
    values = {name: v.astype("f8") if v.dtype == np.float32 else v for name, v in values.items()}
    values[graph.input[0].name] = x.astype("f8") if x.dtype == np.float32 else x
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        values[node.output[0]] = operators[node.op_type](*(values[name] for name in node.input), **attributes)
    return values[graph.output[0].name]
