"""``predictions.parquet``: the scores of the test cases, and in its metadata what the cohorts say of their splits.

A reader of Parquet sees the table alone; who has nothing but this file can still say what was scored.
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
    """Write the table; ``test_splits`` is cohort to what its cohort says of the test split, ready for JSON."""
    made = pyarrow.Table.from_pandas(table, preserve_index=False)
    metadata = {**(made.schema.metadata or {}), SPLITS_KEY: json.dumps(dict(test_splits)).encode()}
    pyarrow.parquet.write_table(made.replace_schema_metadata(metadata), path)


def read_test_splits(path: Path) -> dict[str, Any]:
    """The words that a prediction file carries; nothing for a file that is missing or older than they are.

    Raises:
        UniferumError: the file is no readable Parquet file, or its words are no JSON.
    """
    if not path.exists():
        return {}
    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        words = json.loads(metadata.get(SPLITS_KEY, b"{}"))
    except (OSError, ValueError) as error:  # pyarrow's own faults are among these
        cure = " ".join(str(error).split())
        raise UniferumError(str(path), must="be a readable Parquet file", cure=cure) from None
    if not isinstance(words, dict):
        raise UniferumError(f"{path}: {SPLITS_KEY.decode()}", must="be a mapping of cohorts")
    return words
