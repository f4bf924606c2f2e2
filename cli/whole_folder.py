"""Write the files of a folder all together or not at all."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

EARLIER = ("cases/case-*.js", "parts/*.js")
"""What an earlier page left in its folder: images of patients, alone or, as montages, in parts of the page."""


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A draft folder beside ``folder``; its files move there at the end, and are removed after an error or a signal.

    Files of an earlier page with images of patients are removed, as the new page does not name them.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        yield draft
        for old in [path for pattern in EARLIER for path in folder.glob(pattern)]:
            old.unlink()
        for path in sorted(draft.rglob("*")):
            target = folder / path.relative_to(draft)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
