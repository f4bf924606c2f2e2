"""Faster versions of PyTorch operations, equal within rounding.

Files:

    compile     compile the parts of a model in place, so that tensor names stay
    depthwise   3D convolutions with TensorFlow's padding, with a fast backward pass on a CPU
    linear      use oneDNN for float32 matrix products in CPU inference, and PyTorch's default elsewhere
    malloc      keep freed memory in the process between passes over large volumes
"""
