"""CT-CLIP (Hamamci et al. 2024) as published: it loads the published checkpoint and equals the published code.

The config section is :mod:`uniferum.model.ct_clip_config`.

Files:

    attention    the transformer of CT-ViT
    build        the entry of the registry
    checkpoint   load a published checkpoint, or the weights of a run of this project
    classfine    a linear head on the frozen encoder
    clip         both encoders and the similarity of their latents
    contrastive  pretraining on pairs of volume and report
    ct_vit       the volume encoder
    input        the grid and intensities that CT-ViT reads
    names        names of the tensors in the published code
    parameters   their number, beside the published one
    position     position bias and position convolution
    prompts      a label as a pair of texts
    quantizer    the vector quantiser
    vocabfine    prompt pairs, fine-tuned
    zero_shot    prompt pairs without training
"""
