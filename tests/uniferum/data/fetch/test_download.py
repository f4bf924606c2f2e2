"""A download ends with a file or an error, whatever the server does."""

from itertools import count

import pytest

from uniferum.data.fetch import download
from uniferum.data.fetch.plan import RemoteFile
from uniferum.errors import UniferumError


def test_a_server_that_begins_anew_each_time_and_never_gets_further_is_given_up(tmp_path, monkeypatch):
    asked = count(1)

    def answers(file, part, *_):
        part.write_bytes(bytes(100 if next(asked) % 2 else 120))
        raise download.Cut("the connection ended early")

    monkeypatch.setattr(download, "_append", answers)
    with pytest.raises(UniferumError, match=r"could not be downloaded \(the connection ended early\)"):
        download.fetch_file(RemoteFile("a.zip", 1000), tmp_path, pause_s=0.0)
    assert next(asked) <= 2 + download.ATTEMPTS + 1
