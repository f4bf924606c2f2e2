"""From stored volumes to batches: order, reading, augmentation, targets."""
