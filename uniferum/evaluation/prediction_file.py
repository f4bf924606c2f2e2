"""Write and read ``predictions.parquet``: the scores of the test cases, with the test splits in its metadata.

Other Parquet readers see only the table. With the metadata, this file alone is enough to tell what was scored.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from uniferum.errors import UniferumError

SPLITS_KEY = b"uniferum.test_splits"


def write_predictions(path: Path, table: pd.DataFrame, test_splits: Mapping[str, Any]) -> None:
    """Write the table; ``test_splits`` maps a cohort to the description of its test split, as JSON values."""
    made = pyarrow.Table.from_pandas(table, preserve_index=False)
    metadata = {**(made.schema.metadata or {}), SPLITS_KEY: json.dumps(dict(test_splits)).encode()}
    pyarrow.parquet.write_table(made.replace_schema_metadata(metadata), path)


def read_test_splits(path: Path) -> dict[str, Any]:
    """Read the descriptions of the test splits; empty for a file that is missing or older than this feature.

    Raises:
        UniferumError: the file is not a readable Parquet file, or its metadata is not JSON.
    """
    if not path.exists():
        return {}
    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        words = json.loads(metadata.get(SPLITS_KEY, b"{}"))
    except (OSError, ValueError) as error:  # pyarrow's errors are subclasses of these
        cure = " ".join(str(error).split())
        raise UniferumError(str(path), must="be a readable Parquet file", cure=cure) from None
    if not isinstance(words, dict):
        raise UniferumError(f"{path}: {SPLITS_KEY.decode()}", must="be a mapping of cohorts")
    return words
