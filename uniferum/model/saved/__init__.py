"""Trained models and pretrained weights as files."""
