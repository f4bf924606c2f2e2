"""A language model is asked in the paper's form; answers are validated, retried, kept by content and resumed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from uniferum.data.report_labels.keywords import LabelQuestion, Report
from uniferum.data.report_labels.labelling import Kept, by_model, by_rules, planned, write_labels
from uniferum.data.report_labels.llm import EndpointConfig, prompt_for, read_answer
from uniferum.errors import UniferumError

TEXT = "Zebrafish impression of 2 March: moderate emphysema."


class Endpoint:
    """An OpenAI-compatible server on loopback that answers from a script, then by whether 'emphysema.' is there."""

    def __init__(self) -> None:
        self.script: list[tuple[int, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        endpoint = self

        class ModelRequests(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.asked.append(body)
                endpoint.keys.append(self.headers.get("Authorization"))
                status, content = endpoint.script.pop(0) if endpoint.script else (200, endpoint.honest(body))
                answer = {"choices": [{"message": {"content": content}}]}
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), ModelRequests)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"

    @staticmethod
    def honest(body: dict[str, Any]) -> str:
        report = body["messages"][0]["content"].split("Below is the report:")[1]
        return json.dumps({"KeySentence": report, "PresenceOfPathology": "Yes" if "emphysema." in report else "No"})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    thread = threading.Thread(target=served.server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


def asking(endpoint: Endpoint, **settings: Any) -> EndpointConfig:
    return EndpointConfig.model_validate({"endpoint": endpoint.address, "pause_s": 0.0, "parallel": 1, **settings})


def about(*texts: str) -> list[LabelQuestion]:
    return [LabelQuestion(Report(str(i), text), "emphysema") for i, text in enumerate(texts)]


def judge(endpoint: Endpoint, tmp_path: Path, *texts: str, **settings: Any) -> list[int | None]:
    with Kept(tmp_path / "kept.sqlite") as kept:
        return [answer.value for answer in by_model(about(*texts), asking(endpoint, **settings), kept)]


def test_the_question_is_the_papers_and_carries_model_and_key(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "secret")
    assert judge(endpoint, tmp_path, TEXT, "Clear lungs.", model="small", key_env="OWN_KEY") == [1, 0]
    body = endpoint.asked[0]
    assert body["model"] == "small"
    assert body["messages"][0]["content"] == prompt_for("emphysema", TEXT)
    assert "any findings indicative of emphysema, focusing on the lung region and heart" in prompt_for("emphysema", "")
    assert endpoint.keys == ["Bearer secret"] * 2


def test_questions_in_parallel_are_each_asked_once_and_answered_in_order(endpoint: Endpoint, tmp_path: Path) -> None:
    texts = [f"{i}: {'moderate' if i % 3 else 'no'} finding {'emphysema.' if i % 3 else ''}" for i in range(150)]
    assert judge(endpoint, tmp_path, *texts, parallel=4) == [int(i % 3 > 0) for i in range(150)]
    assert len(endpoint.asked) == len({body["messages"][0]["content"] for body in endpoint.asked}) == 150


def test_bad_answers_and_busy_servers_are_asked_again(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.script = [(503, ""), (200, "I think yes"), (200, '{"PresenceOfPathology": "Yes"}')]
    assert judge(endpoint, tmp_path, TEXT) == [1]
    assert len(endpoint.asked) == 4


def test_an_answer_that_never_validates_leaves_the_value_unknown(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.script = [(200, "perhaps")] * 2
    assert judge(endpoint, tmp_path, TEXT, "Clear.", attempts=2) == [None, 0]


@pytest.mark.parametrize(
    "content",
    [
        '{"KeySentence": "x", "PresenceOfPathology": "Yes"}',
        '```json\n{"KeySentence": "x", "PresenceOfPathology": "yes."}\n```',
        'Here: ```{"KeySentence": "x", "PresenceOfPathology": "YES"}```',
    ],
)
def test_answers_are_read_bare_or_fenced(content: str) -> None:
    assert read_answer(content).PresenceOfPathology == "Yes"


def test_a_second_run_asks_only_what_is_new(endpoint: Endpoint, tmp_path: Path) -> None:
    judge(endpoint, tmp_path, TEXT, "Clear.")
    with Kept(tmp_path / "kept.sqlite") as kept:
        plan = planned(about(TEXT, "Clear.", "New one."), asking(endpoint), kept)
    assert (plan.questions, plan.kept) == (3, 2)
    assert plan.characters == len(prompt_for("emphysema", "New one."))
    assert judge(endpoint, tmp_path, TEXT, "Clear.", "New one.") == [1, 0, 0]
    assert len(endpoint.asked) == 3
    judge(endpoint, tmp_path, TEXT, model="another")
    assert len(endpoint.asked) == 4, "another model is another question"


def test_a_refusal_stops_at_once_and_what_was_answered_is_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.script = [(200, endpoint.honest({"messages": [{"content": f"Below is the report:{TEXT}"}]})), (401, "")]
    with pytest.raises(UniferumError, match=r"rejected the question with HTTP 401\. Check --endpoint, --model and"):
        judge(endpoint, tmp_path, TEXT, "Clear.", attempts=5)
    asked = len(endpoint.asked)
    endpoint.script.clear()
    assert judge(endpoint, tmp_path, TEXT, "Clear.") == [1, 0]
    assert len(endpoint.asked) <= asked + 1
    assert [b["messages"][0]["content"] for b in endpoint.asked].count(prompt_for("emphysema", TEXT)) == 1


def test_nobody_there_is_one_line(endpoint: Endpoint, tmp_path: Path) -> None:
    gone = asking(endpoint, attempts=2).replace(endpoint="http://127.0.0.1:9/v1")
    with Kept(tmp_path / "k.sqlite") as kept, pytest.raises(UniferumError, match="does not answer: no conn") as caught:
        list(by_model(about(TEXT), gone, kept))
    assert "\n" not in str(caught.value)


def test_cost_is_known_beforehand(endpoint: Endpoint, tmp_path: Path) -> None:
    config = asking(endpoint, price_in=4.0, price_out=0.0)
    with Kept(tmp_path / "k.sqlite") as kept:
        plan = planned(about("x" * 1000), config, kept)
    assert plan.dollars == pytest.approx(plan.characters / 1e6)
    assert "1 questions, 0 answered before" in plan.sentence()
    assert endpoint.asked == []


def test_no_word_of_a_report_is_written_anywhere(endpoint: Endpoint, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Kept(out / "kept.sqlite") as kept:
        judged = by_model(about(TEXT, "Zebrafish: clear."), asking(endpoint), kept)
        write_labels(out / "m.csv", "impression_id", judged, made_by={"labeller": "model"})
    write_labels(out / "r.csv", "impression_id", by_rules(about(TEXT)), made_by={"labeller": "rules"})
    assert (out / "m.csv").read_text(encoding="utf-8") == "impression_id,label,value\n0,emphysema,1\n1,emphysema,0\n"
    files = list(out.iterdir())
    assert len(files) >= 5
    for path in files:
        assert b"zebrafish" not in path.read_bytes().lower()
        assert b"2 March" not in path.read_bytes()


@pytest.mark.parametrize("address", ["ftp://x/v1", "127.0.0.1:80", "file:///etc/passwd"])
def test_only_http_addresses_are_asked(address: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        EndpointConfig(endpoint=address)
