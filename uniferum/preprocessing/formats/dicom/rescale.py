"""Slope and intercept of one slice, as its header has them."""

from dataclasses import dataclass
from typing import Any

from uniferum.preprocessing.formats.dicom.elements import number, value


@dataclass(frozen=True, slots=True)
class Rescale:
    """``hu = slope * stored + intercept`` of one slice.

    Attributes:
        fault: empty, or what is wrong with the header's values, e.g. ``RescaleSlope is 0``.
        absent: neither of the two elements stands in the header.
        lut: a Modality LUT Sequence takes their place.
    """

    slope: float = 1.0
    intercept: float = 0.0
    fault: str = ""
    absent: bool = False
    lut: bool = False

    @property
    def sound(self) -> bool:
        """Whether the header says how to make HU."""
        return not self.fault and not self.absent

    @property
    def whole(self) -> bool:
        """Whether HU are whole numbers that 32-bit arithmetic can hold."""
        small = abs(self.slope) < 1 << 14 and abs(self.intercept) < 1 << 30
        return not self.lut and small and self.slope == int(self.slope) and self.intercept == int(self.intercept)


def rescale_of(data: Any) -> Rescale:
    """Of a data set that holds the two elements, or a Modality LUT Sequence."""
    present = ["RescaleSlope" in data, "RescaleIntercept" in data]
    if "ModalityLUTSequence" in data and value(data, "ModalityLUTSequence"):
        return Rescale(lut=True, fault="Modality LUT and RescaleSlope are both given" if all(present) else "")
    if not any(present):
        return Rescale(absent=True)
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    for name, found, there in zip(("RescaleSlope", "RescaleIntercept"), (slope, intercept), present, strict=True):
        if found is None:
            return Rescale(fault=f"{name} is {'empty or no number' if there else 'absent'}")
    assert slope is not None
    assert intercept is not None
    return Rescale(slope, intercept) if slope else Rescale(fault="RescaleSlope is 0")
