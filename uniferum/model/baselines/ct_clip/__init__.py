"""CT-CLIP (Hamamci et al. 2024) as published: it loads the published checkpoint and equals the published code.

``position``, ``attention``, ``quantizer``: the parts of the volume encoder; ``ct_vit``: that encoder; ``input``: its
grid and intensities; ``clip``: both encoders and their similarity; ``prompts``: a label as a pair of texts;
``zero_shot``, ``vocabfine``, ``classfine``, ``contrastive``: the four ways of use; ``names``, ``checkpoint``: published
names and files; ``parameters``: their number; ``build``: the entry of the registry. The config section is
:mod:`uniferum.model.ct_clip_config`.
"""
