"""The options of operators, by the field numbers of the schema (version 3).

A test compares each with the accessors that the schema's own compiler wrote.
"""

from edgewright_converter.frontend.tflite.flatbuffer import Flag, Integer, Integers, Number, Table


class Conv2DOptions(Table):
    """CONV_2D."""

    padding = Integer(0, "b")
    stride_w = Integer(1)
    stride_h = Integer(2)
    fused_activation_function = Integer(3, "b")
    dilation_w_factor = Integer(4, "i", 1)
    dilation_h_factor = Integer(5, "i", 1)


class DepthwiseConv2DOptions(Table):
    """DEPTHWISE_CONV_2D."""

    padding = Integer(0, "b")
    stride_w = Integer(1)
    stride_h = Integer(2)
    fused_activation_function = Integer(4, "b")
    dilation_w_factor = Integer(5, "i", 1)
    dilation_h_factor = Integer(6, "i", 1)


class Conv3DOptions(Table):
    """CONV_3D."""

    padding = Integer(0, "b")
    stride_d = Integer(1)
    stride_w = Integer(2)
    stride_h = Integer(3)
    fused_activation_function = Integer(4, "b")
    dilation_d_factor = Integer(5, "i", 1)
    dilation_w_factor = Integer(6, "i", 1)
    dilation_h_factor = Integer(7, "i", 1)


class TransposeConvOptions(Table):
    """TRANSPOSE_CONV."""

    padding = Integer(0, "b")
    stride_w = Integer(1)
    stride_h = Integer(2)
    fused_activation_function = Integer(3, "b")


class Pool2DOptions(Table):
    """AVERAGE_POOL_2D, MAX_POOL_2D, L2_POOL_2D."""

    padding = Integer(0, "b")
    stride_w = Integer(1)
    stride_h = Integer(2)
    filter_width = Integer(3)
    filter_height = Integer(4)
    fused_activation_function = Integer(5, "b")


class FullyConnectedOptions(Table):
    """FULLY_CONNECTED."""

    fused_activation_function = Integer(0, "b")
    weights_format = Integer(1, "b")
    keep_num_dims = Flag(2)


class ActivationOptions(Table):
    """ADD, SUB, MUL, DIV, L2_NORMALIZATION: a fused activation first."""

    fused_activation_function = Integer(0, "b")


class ConcatenationOptions(Table):
    """CONCATENATION."""

    axis = Integer(0)
    fused_activation_function = Integer(1, "b")


class SoftmaxOptions(Table):
    """SOFTMAX."""

    beta = Number(0)


class ReshapeOptions(Table):
    """RESHAPE."""

    new_shape = Integers(0)


class ResizeBilinearOptions(Table):
    """RESIZE_BILINEAR."""

    align_corners = Flag(2)
    half_pixel_centers = Flag(3)


class ResizeNearestNeighborOptions(Table):
    """RESIZE_NEAREST_NEIGHBOR."""

    align_corners = Flag(0)
    half_pixel_centers = Flag(1)


class ReducerOptions(Table):
    """MEAN, SUM, REDUCE_MAX and the other reductions."""

    keep_dims = Flag(0)


class StridedSliceOptions(Table):
    """STRIDED_SLICE."""

    begin_mask = Integer(0)
    end_mask = Integer(1)
    ellipsis_mask = Integer(2)
    new_axis_mask = Integer(3)
    shrink_axis_mask = Integer(4)
    offset = Flag(5)


class PackOptions(Table):
    """PACK."""

    axis = Integer(1)


class UnpackOptions(Table):
    """UNPACK."""

    num = Integer(0)
    axis = Integer(1)


class SqueezeOptions(Table):
    """SQUEEZE."""

    squeeze_dims = Integers(0)


class GatherOptions(Table):
    """GATHER."""

    axis = Integer(0)
    batch_dims = Integer(1)


class LeakyReluOptions(Table):
    """LEAKY_RELU."""

    alpha = Number(0)


class GeluOptions(Table):
    """GELU."""

    approximate = Flag(0)


class MirrorPadOptions(Table):
    """MIRROR_PAD."""

    mode = Integer(0, "b")


class BlockOptions(Table):
    """SPACE_TO_DEPTH, DEPTH_TO_SPACE."""

    block_size = Integer(0)


class BatchMatMulOptions(Table):
    """BATCH_MATMUL."""

    adj_x = Flag(0)
    adj_y = Flag(1)


class OneHotOptions(Table):
    """ONE_HOT."""

    axis = Integer(0)


class ReverseSequenceOptions(Table):
    """REVERSE_SEQUENCE."""

    seq_dim = Integer(0)
    batch_dim = Integer(1)


class CumsumOptions(Table):
    """CUMSUM."""

    exclusive = Flag(0)
    reverse = Flag(1)


class LocalResponseNormalizationOptions(Table):
    """LOCAL_RESPONSE_NORMALIZATION."""

    radius = Integer(0)
    bias = Number(1)
    alpha = Number(2)
    beta = Number(3)


class UnidirectionalSequenceLSTMOptions(Table):
    """UNIDIRECTIONAL_SEQUENCE_LSTM."""

    fused_activation_function = Integer(0, "b")
    cell_clip = Number(1)
    proj_clip = Number(2)
    time_major = Flag(3)
    diagonal_recurrent_tensors = Flag(5)


class SequenceRNNOptions(Table):
    """UNIDIRECTIONAL_SEQUENCE_RNN."""

    time_major = Flag(0)
    fused_activation_function = Integer(1, "b")
