"""Make a table of labels from reports: select, judge, store the answers, write the known values.

The table has one line per known value, ``<id>,label,value``; a JSON file beside it documents how it was made. Neither
contains report text. Answers of a language model are stored by content as they arrive, so an interrupted command can
continue.
"""

import csv
import io
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from uniferum.data.cohorts.tables import drawn_first
from uniferum.data.report_labels import llm, rules
from uniferum.data.report_labels.keywords import Chosen, LabelQuestion
from uniferum.errors import UniferumError
from uniferum.preprocessing.store.filesystem import LocalFolder

Value = int | None
Heard = Callable[[int], None]
"""Called with the number of questions answered since the last call."""


@dataclass(frozen=True)
class Judged:
    """One answer to a question."""

    report_id: str
    label: str
    value: Value


@dataclass(frozen=True)
class LabellingPlan:
    """Cost of asking a model, before anything is sent."""

    questions: int
    kept: int
    characters: int
    dollars: float

    def sentence(self) -> str:
        """Cost in words, for the user's decision."""
        tokens = self.characters / llm.CHARACTERS_A_TOKEN
        return (
            f"{self.questions} questions, {self.kept} answered before; about {tokens:,.0f} tokens to send, "
            f"about US$ {self.dollars:,.2f} at the given prices"
        )


class Kept:
    """Cache of answers on disk by content; it contains hashes and 0 or 1, and no report text."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._base = sqlite3.connect(path, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value INTEGER NOT NULL)")
        except sqlite3.Error as error:
            raise UniferumError(str(path), must="be a cache of answers", cure=str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._base.close()

    def get(self, key: str) -> int | None:
        """Answer to an earlier question, or ``None``."""
        answer = self._base.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return None if answer is None else int(answer[0])

    def keep(self, key: str, value: int) -> None:
        """Store an answer immediately."""
        self._base.execute("INSERT OR REPLACE INTO answers (key, value) VALUES (?, ?)", (key, value))


def by_rules(questions: Iterable[LabelQuestion], heard: Heard | None = None) -> Iterator[Judged]:
    """Judge offline by rules on negation and uncertainty."""
    for question in questions:
        yield Judged(question.report.id, question.label, rules.judge(question.label, question.report.text))
        if heard is not None:
            heard(1)


def planned(questions: Iterable[LabelQuestion], config: llm.EndpointConfig, kept: Kept) -> LabellingPlan:
    """Count the questions that :func:`by_model` would send."""
    asked = known = characters = 0
    for question in questions:
        prompt = llm.prompt_for(question.label, question.report.text)
        asked += 1
        if kept.get(llm.content_key(config, prompt)) is None:
            characters += len(prompt)
        else:
            known += 1
    return LabellingPlan(asked, known, characters, llm.estimated_cost(config, asked - known, characters))


def by_model(
    questions: Iterable[LabelQuestion], config: llm.EndpointConfig, kept: Kept, heard: Heard | None = None
) -> Iterator[Judged]:
    """Judge with a language model; stored answers are not requested again.

    If no answer is valid, the value stays unknown.

    Raises:
        UniferumError: the endpoint cannot be reached, or refuses; answers up to then are stored.
    """
    waiting = iter(questions)
    with ThreadPoolExecutor(config.parallel) as pool:
        while chunk := list(islice(waiting, 16 * config.parallel)):
            asked = [_submitted(question, config, kept, pool) for question in chunk]
            try:
                for question, key, answer in asked:
                    yield Judged(question.report.id, question.label, _awaited(answer, key, kept))
                    if heard is not None:
                        heard(1)
            except UniferumError:
                pool.shutdown(cancel_futures=True)
                _keep_done(asked, kept)
                raise


Asked = tuple[LabelQuestion, str, "Future[int] | int"]


def _submitted(question: LabelQuestion, config: llm.EndpointConfig, kept: Kept, pool: ThreadPoolExecutor) -> Asked:
    prompt = llm.prompt_for(question.label, question.report.text)
    key = llm.content_key(config, prompt)
    known = kept.get(key)
    return question, key, pool.submit(llm.ask, config, prompt) if known is None else known


def _keep_done(asked: Iterable[Asked], kept: Kept) -> None:
    """Store the finished answers of an interrupted chunk, so that they need not be paid twice."""
    for _, key, answer in asked:
        if not isinstance(answer, int) and answer.done() and not answer.cancelled() and answer.exception() is None:
            kept.keep(key, answer.result())


def _awaited(answer: "Future[int] | int", key: str, kept: Kept) -> Value:
    if isinstance(answer, int):
        return answer
    try:
        value = answer.result()
    except llm.BadAnswer:
        return None
    kept.keep(key, value)
    return value


@dataclass
class LabellingSummary:
    """Number of written values."""

    values: Counter[tuple[str, Value]] = field(default_factory=Counter)

    def rows(self) -> list[list[object]]:
        """Rows of label, positive, negative, unknown (uncertain, or no valid answer)."""
        labels = sorted({label for label, _ in self.values})
        return [[name, *(self.values[name, value] for value in (1, 0, None))] for name in labels]


def write_labels(
    path: Path, id_column: str, judged: Iterable[Judged], *, made_by: dict[str, object]
) -> LabellingSummary:
    """Write the known values, and beside them (``.json``) how they were made; both atomically."""
    summary, text = LabellingSummary(), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([id_column, "label", "value"])
    for answer in judged:
        summary.values[answer.label, answer.value] += 1
        if answer.value is not None:
            writer.writerow([answer.report_id, answer.label, answer.value])
    counts = {str(name): dict(zip(("1", "0", "unknown"), counted, strict=True)) for name, *counted in summary.rows()}
    _write(path.with_suffix(".json"), json.dumps({**made_by, "counts": counts}, indent=2, sort_keys=True) + "\n")
    _write(path, text.getvalue())
    return summary


def write_review(path: Path, id_column: str, chosen: Chosen, per_label: int, seed: int) -> int:
    """Write an empty table for a radiologist: ``per_label`` judged reports of each label, drawn by ``seed``.

    Returns:
        the number of lines (the paper: 120, 10 per class). The values to be reviewed are not shown.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([id_column, "label", "value"])
    count = 0
    for label, candidates in chosen.candidates.items():
        for report_id in sorted(drawn_first(candidates | chosen.drawn[label], per_label, seed)):
            writer.writerow([report_id, label, ""])
            count += 1
    _write(path, text.getvalue())
    return count


def _write(path: Path, text: str) -> None:
    LocalFolder(path.parent).write(path.name, text.encode())
