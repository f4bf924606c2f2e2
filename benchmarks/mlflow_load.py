"""16 clients, 10 metrics a second each, against one MLflow server that is away for a while: is anything lost?

    python benchmarks/mlflow_load.py --seconds 600

Each client is a process without torch that reports as a cell does: into its spool, never to the server. One uploader
empties the spools. In the middle the server is killed and stays away for a tenth of the time. At the end the server is
asked for every metric's history: each (client, metric, step) must be there exactly once, and what a client waited for
its own reports is printed, since that is all the time that logging takes from a training.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

METRICS = 10


def client(folder: Path, seconds: float) -> None:
    """Report ``METRICS`` values a second, and write down how long the reports took."""
    from orchestration.attempt.spool import SpoolReporter

    reporter = SpoolReporter(folder)
    start, step, waits = time.monotonic(), 0, []
    while time.monotonic() - start < seconds:
        before = time.perf_counter()
        reporter.metrics(step, {f"m{index}": step + index / METRICS for index in range(METRICS)})
        waits.append(time.perf_counter() - before)
        step += 1
        time.sleep(max(0.0, start + step - time.monotonic()))
    facts = {"steps": step, "waits": waits, "torch": "torch" in sys.modules}
    (folder / "client.json").write_text(json.dumps(facts))


def outage(root: Path, server_uri: str, begin: float, length: float) -> None:
    """Kill the server with signal 9 after ``begin`` seconds, and start it again at the same address later."""
    from orchestration.tracking import server as mlflow_server

    time.sleep(begin)
    found = mlflow_server.find(root)
    assert found is not None, "the server is up before it is killed"
    assert found.pid is not None, "the server is ours"
    os.killpg(found.pid, signal.SIGKILL)
    time.sleep(length)
    again = mlflow_server.start(root)
    print(f"server back at {again.uri} after {length:.0f} s away (was {server_uri})")


def count(uri: str, folders: list[Path]) -> tuple[int, int, int]:
    """(rows expected, rows found, rows found twice)."""
    from mlflow import MlflowClient

    asked = MlflowClient(tracking_uri=uri)
    expected = found = twice = 0
    for folder in folders:
        steps = json.loads((folder / "client.json").read_text())["steps"]
        run_id = json.loads((folder / "spool.sent.json").read_text())["run_id"]
        for index in range(METRICS):
            history = [row.step for row in asked.get_metric_history(run_id, f"m{index}")]
            expected += steps
            found += len(set(history))
            twice += len(history) - len(set(history))
    return expected, found, twice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    from orchestration.tracking import server as mlflow_server
    from orchestration.tracking.uploader import Uploader

    with tempfile.TemporaryDirectory(prefix="mlflow-load-") as place:
        root = Path(place)
        server = mlflow_server.start(root)
        folders = [root / f"client-{index}" for index in range(options.clients)]
        uploader = Uploader(server.uri, "load")
        for folder in folders:
            folder.mkdir()
            uploader.watch(folder, {})
        uploader.start()
        context = multiprocessing.get_context("spawn")
        clients = [context.Process(target=client, args=(folder, options.seconds)) for folder in folders]
        for process in clients:
            process.start()
        outage(root, server.uri, options.seconds * 0.45, options.seconds * 0.1)
        for process in clients:
            process.join()
        before = time.monotonic()
        back = mlflow_server.find(root)
        assert back is not None, "the server is back"
        assert back.uri == server.uri, "the server came back at its address"
        left = uploader.finish(seconds=120.0)
        drained = time.monotonic() - before
        expected, found, twice = count(back.uri, folders)
        facts = [json.loads((folder / "client.json").read_text()) for folder in folders]
        waits = sorted(wait for fact in facts for wait in fact["waits"])
        mlflow_server.stop(root, back)
    print(
        f"clients {options.clients}, {options.seconds:.0f} s, torch loaded in {sum(f['torch'] for f in facts)} of them"
    )
    print(f"metric rows: {expected} reported, {found} in MLflow, {expected - found} lost, {twice} twice")
    print(f"a report took a client {1e3 * waits[len(waits) // 2]:.2f} ms (median), {1e3 * waits[-1]:.1f} ms (worst)")
    print(f"spools empty {drained:.1f} s after the last report; {left} unsent")
    sys.exit(0 if expected == found and not twice and not left else 1)


if __name__ == "__main__":
    main()
