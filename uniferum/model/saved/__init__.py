"""Trained models and pretrained weights as files.

Files:

    check_weights     check pretrained weights before a grid starts
    hub               save a model as a folder, and load it again
    import_released   import checkpoints of the paper's released code
"""
