"""Label reports with a language model at any endpoint with OpenAI's chat completions API (paper 3.4.3).

The prompt is that of the paper (appendix Table 2). The answer must contain a key sentence, which is report text and is
discarded. Reports are sent only to the endpoint that the user names.
"""

import hashlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from uniferum.config import Section
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import StateError, UniferumError

PROMPT = """Please review the radiology report and identify any findings indicative of {pathology}, focusing on the \
lung region and heart. Return the following in a structured JSON format:

{{
"KeySentence": "Provide the key sentence in the report that supports your answer. If no relevant sentences, return \
'NONE'.",
"PresenceOfPathology": "Answer with 'Yes' or 'No' based on the presence of {pathology}. If no pathology is mentioned, \
assume 'No'."
}}

Return nothing else.

Below is the report:

{report}"""
"""Paper, appendix Table 2."""

CHARACTERS_A_TOKEN = 4.0
"""Estimate for English text, for the cost that is shown in advance."""

ANSWER_TOKENS = 60
"""Length of the answer: one sentence and a word, as JSON."""

FINAL_STATUS = frozenset({400, 401, 403, 404, 405, 413, 422})
"""HTTP status codes that a retry does not change."""


class EndpointConfig(Section):
    """Settings of the endpoint.

    Attributes:
        endpoint: base URL, e.g. ``http://127.0.0.1:8000/v1``; ``/chat/completions`` is appended.
        model: name of the model; the paper used gpt-4o-mini.
        key_env: environment variable with the API key; if it is not set, none is sent.
        attempts: maximum number of attempts per question, with growing pauses.
        pause_s: the first pause in seconds.
        timeout_s: time-out of one attempt in seconds.
        parallel: number of parallel questions.
        price_in: US dollars per million tokens sent (gpt-4o-mini's list price of 2024).
        price_out: US dollars per million tokens received.
    """

    endpoint: str = Field(pattern=r"^https?://")
    model: str = "gpt-4o-mini"
    key_env: str = "OPENAI_API_KEY"
    attempts: int = Field(default=4, ge=1)
    pause_s: float = Field(default=1.0, ge=0)
    timeout_s: float = Field(default=60.0, gt=0)
    parallel: int = Field(default=4, ge=1)
    price_in: float = Field(default=0.15, ge=0)
    price_out: float = Field(default=0.60, ge=0)


class LlmAnswer(BaseModel):
    """The JSON answer that the paper's prompt requests."""

    KeySentence: str
    PresenceOfPathology: Literal["Yes", "No"]

    @field_validator("PresenceOfPathology", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return value.strip().rstrip(".").capitalize() if isinstance(value, str) else value


class BadAnswer(Exception):
    """No answer of the model was the requested JSON."""


def prompt_for(label: str, text: str) -> str:
    """The paper's question about one report."""
    return PROMPT.format(pathology=Vocabulary.load().labels[label].name.lower(), report=text)


def content_key(config: EndpointConfig, prompt: str) -> str:
    """Hash of a question and its model; it reveals nothing about the report."""
    return hashlib.sha256(f"{config.model}\n{prompt}".encode()).hexdigest()


def estimated_cost(config: EndpointConfig, questions: int, characters: int) -> float:
    """Cost in US dollars, from the number of characters of all prompts."""
    sent = characters / CHARACTERS_A_TOKEN
    return (sent * config.price_in + questions * ANSWER_TOKENS * config.price_out) / 1e6


def ask(config: EndpointConfig, prompt: str) -> int:
    """Ask one question, and repeat it if the answer is invalid or the endpoint is busy.

    Returns:
        1 for Yes, 0 for No.

    Raises:
        StateError: the endpoint cannot be reached, or refuses.
        BadAnswer: it answers, but never in the requested form.
    """
    fault = ""
    reached = False
    for attempt in range(config.attempts):
        if attempt:
            time.sleep(config.pause_s * 2 ** (attempt - 1))
        try:
            content = _post(config, prompt)
            reached = True
            return int(read_answer(content).PresenceOfPathology == "Yes")
        except _Busy as busy:
            fault = str(busy)
        except UniferumError:  # it is a ValueError too, but not an invalid answer
            raise
        except (ValidationError, ValueError, KeyError, IndexError, TypeError):
            reached = True
    if reached:
        raise BadAnswer
    raise StateError(f"The endpoint {config.endpoint} does not answer: {fault}", cure="Repeat the command to continue.")


def read_answer(content: str) -> LlmAnswer:
    """Parse the JSON of an answer, with or without a fenced block.

    Raises:
        ValidationError: it is not the requested JSON.
    """
    fenced = re.search(r"```(?:json)?\s*(.*?)```", content, re.DOTALL)
    return LlmAnswer.model_validate_json(fenced.group(1) if fenced else content.strip())


class _Busy(Exception):
    """The endpoint did not answer this attempt."""


def _post(config: EndpointConfig, prompt: str) -> str:
    body = {"model": config.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
    headers = {"Content-Type": "application/json"}
    key = os.environ.get(config.key_env)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    address = f"{config.endpoint.rstrip('/')}/chat/completions"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=config.timeout_s) as response:
            answer = json.loads(response.read())
    except urllib.error.HTTPError as error:
        if error.code in FINAL_STATUS:
            cure = f"Check --endpoint, --model and {config.key_env}."
            statement = f"The endpoint {config.endpoint} rejected the question with HTTP {error.code}"
            raise StateError(statement, cure=cure) from None
        raise _Busy(f"it answered HTTP {error.code}") from None
    except (OSError, HTTPException) as error:
        raise _Busy(f"no connection ({type(error).__name__})") from None
    return str(answer["choices"][0]["message"]["content"])
