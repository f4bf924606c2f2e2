"""Unexpected errors of a reader: the message has file, operation, error type and line, and nothing of a header."""

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from uniferum.errors import UniferumError
from uniferum.preprocessing import faults
from uniferum.preprocessing.faults import DEBUG, fault_line
from uniferum.preprocessing.formats.source import MaskSource

SECRET = "ZZPLANTED^NAME"


def broken() -> None:
    raise TypeError(f"cannot convert {SECRET}")


def through(*modules: str, mask: MaskSource | None = None) -> BaseException:
    """The error of ``broken``, called by functions of these modules, outermost first."""
    call: Callable[[], None] = broken
    for module in reversed(modules):
        names: dict[str, object] = {"__name__": f"uniferum.{module}", "inner": call, "given": mask}
        exec("def outer():\n    mask = given\n    inner()", names)
        call = names["outer"]  # type: ignore[assignment]
    with pytest.raises(TypeError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("modules", "deed"),
    [
        (("data.prepare_cohort", "preprocessing.pipeline", "preprocessing.formats.nifti"), "reading the scan"),
        (("preprocessing.pipeline", "preprocessing.formats.dicom.geometry"), "reading the scan"),
        (("preprocessing.pipeline", "preprocessing.masks.files", "preprocessing.formats.nifti"), "reading its masks"),
        (("preprocessing.pipeline", "preprocessing.resampling"), "putting it on the prepared grids"),
        (("data.prepare_cohort", "preprocessing.store.codec"), "reading or writing the store"),
        (
            ("data.prepare_cohort", "preprocessing.store.signature"),
            "comparing its files with what it was prepared from",
        ),
        (("data.prepare_cohort",), "preparing it"),
    ],
)
def test_an_error_says_what_was_being_done_and_where(modules: tuple[str, ...], deed: str) -> None:
    line = fault_line(through(*modules), "x/scan.nii.gz", debug="uniferum --debug predict ...")
    assert line.startswith(f"x/scan.nii.gz: {deed} failed with TypeError at uniferum.{modules[-1]} line 3; ")
    assert line.endswith("uniferum --debug predict ... shows the traceback")
    assert SECRET not in line


def test_every_step_names_modules_that_exist() -> None:
    room = Path(faults.__file__).parent
    named = [name for names, _ in faults._STEPS for name in names]
    assert [name for name in named if not [*room.rglob(f"{name}.py"), *room.rglob(f"{name}/__init__.py")]] == []


def test_an_error_in_a_mask_names_its_layer() -> None:
    error = through(
        "preprocessing.masks.layers", "preprocessing.formats.nifti", mask=MaskSource("nodule", Path("m.nii.gz"))
    )
    line = fault_line(error, "scan.nii.gz")
    assert line.startswith("scan.nii.gz: reading its masks (layer nodule) failed with TypeError at ")


def test_the_system_says_what_an_error_number_means_in_its_own_words() -> None:
    line = fault_line(OSError(errno.EIO, SECRET, SECRET), "scan.nii.gz", doing="answering")
    assert line == "scan.nii.gz: answering failed with OSError (Input/output error)"
    assert "MemoryError (not enough memory)" in fault_line(MemoryError(), "scan.nii.gz")


def test_an_error_that_is_worded_stays_as_it_is() -> None:
    error = UniferumError("scan.nii.gz", must="hold\n three axes")
    assert fault_line(error, "scan.nii.gz") == "scan.nii.gz must hold three axes"


def test_debugging_logs_the_traceback(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    error = through("preprocessing.nifti")
    with caplog.at_level(logging.ERROR):
        fault_line(error, "scan.nii.gz")
        assert caplog.text == ""
        monkeypatch.setenv(DEBUG, "1")
        fault_line(error, "scan.nii.gz")
    assert "Traceback" in caplog.text
    assert "in broken" in caplog.text
