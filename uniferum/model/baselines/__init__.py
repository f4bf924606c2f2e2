"""The systems that the paper compares with, and controls.

Files:

    cnn               the paper's baseline: EfficientNet, pooling, one logit per label
    cnn_transformer   CNN + Transformer of INSPECT (Huang et al. 2023)
    ct_clip           CT-CLIP (Hamamci et al. 2024)
    ct_net            CT-Net (Draelos et al. 2021), also `cnn_draelos`
    label_heads       what the systems with one output per label share
    own_grid          resample volumes of the run's grid to a grid of a system's own
    prevalence        a control: one constant per label
    probe             a control: a linear model on frozen features
    slices            2D image networks over slices, for comparison systems that are not 3D
"""
