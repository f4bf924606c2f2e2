"""Stored volumes to batches: order, reading, augmentation, targets.

Files:

    assembly       assemble a batch from groups of rows
    augmentation   random augmentation of the paper, drawn as numbers and applied in one resampling
    batch          one micro-batch: volumes, and the rows (prompt, target) that read them
    batches        make batches from rows
    device         resample on the GPU
    kernels        compiled loops over voxels
    mask_targets   stored masks of a scan as targets for scoring
    reader         read stored arrays for the loader, and cache them decoded if all of them fit in memory
    resample       apply an augmentation's geometry in one resampling of a stored volume
    row_order      endless order of training rows, and the base of both orders
    targets        masks as targets of the model: pooled, and split into patches
    transforms     a user's own augmentation (`data.transforms`)
    volume_order   order of training rows if batches count volumes
"""
