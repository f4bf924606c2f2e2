"""The tiny training beside these tests is a module that they import and a program that they start."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
