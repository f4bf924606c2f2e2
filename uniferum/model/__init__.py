"""The compared systems (paper 3.2, 4).

Files:

    base                     the interface of a model
    baselines/               the systems that the paper compares with
    cnn_transformer_config   config section of CNN + Transformer
    config                   config sections of a model
    ct_clip_config           config section of CT-CLIP
    ct_net_config            config section of CT-Net
    encoder                  the vision encoder: a timm-3d EfficientNet up to the configured stride
    folding                  fold batch norms into the preceding convolutions, for faster prediction on a CPU
    inflate                  inflate 2D image weights to 3D: repeat each filter along the depth
    needs                    the pretrained weights that a model's config names, and where they are
    networks                 check the names of image networks when a grid file is read
    own_input_config         config section of an input grid of a system's own
    parameters               number of a model's parameters, beside the published number
    pretrained               find pretrained weights: in a folder, a Python package, or the hub and its cache
    registry                 build a compared system from its config section
    saved/                   trained models and pretrained weights as files
    sequence                 build the transformer's input sequences, with options that help small models
    speed/                   faster versions of PyTorch operations, equal within rounding
    text                     text encoders of the BERT family
    tokenizer                convert prompts to token ids
    transformer              the bidirectional transformer of BERT and Megatron-BERT
    uniferum                 Uniferum: one transformer over [CLS], the volume's tokens, [SEP] and the prompt
    weights                  read the tensors of weights files
"""
