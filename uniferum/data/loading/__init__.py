"""Stored volumes to batches: order, reading, augmentation, targets."""
