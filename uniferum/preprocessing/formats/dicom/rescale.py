"""Slope and intercept in the header of one slice."""

from dataclasses import dataclass
from typing import Any

from uniferum.preprocessing.formats.dicom.elements import number, value


@dataclass(frozen=True, slots=True)
class Rescale:
    """Conversion of one slice: ``hu = slope * stored + intercept``.

    Attributes:
        fault: what is wrong with the header's values, e.g. ``RescaleSlope is 0``; otherwise empty.
        absent: whether the header has neither of the two elements.
        lut: whether a Modality LUT Sequence replaces them.
    """

    slope: float = 1.0
    intercept: float = 0.0
    fault: str = ""
    absent: bool = False
    lut: bool = False

    @property
    def sound(self) -> bool:
        """Whether the header defines the conversion to HU."""
        return not self.fault and not self.absent

    @property
    def whole(self) -> bool:
        """Whether HU are whole numbers within the range of 32-bit arithmetic."""
        small = abs(self.slope) < 1 << 14 and abs(self.intercept) < 1 << 30
        return not self.lut and small and self.slope == int(self.slope) and self.intercept == int(self.intercept)


def rescale_of(data: Any) -> Rescale:
    """Read the conversion from a data set with the two elements or a Modality LUT Sequence."""
    present = ["RescaleSlope" in data, "RescaleIntercept" in data]
    if "ModalityLUTSequence" in data and value(data, "ModalityLUTSequence"):
        return Rescale(lut=True, fault="Modality LUT and RescaleSlope are both given" if all(present) else "")
    if not any(present):
        return Rescale(absent=True)
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    for name, parsed, is_present in zip(("RescaleSlope", "RescaleIntercept"), (slope, intercept), present, strict=True):
        if parsed is None:
            return Rescale(fault=f"{name} is {'empty or not a number' if is_present else 'absent'}")
    assert slope is not None
    assert intercept is not None
    return Rescale(slope, intercept) if slope else Rescale(fault="RescaleSlope is 0")
