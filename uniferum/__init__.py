"""Unified supervision for vision-language modelling in 3D computed tomography."""

__version__ = "0.1.0"
