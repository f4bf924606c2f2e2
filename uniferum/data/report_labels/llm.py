"""A language model as the labeller, through any endpoint that speaks OpenAI's chat completions (paper 3.4.3).

The prompt is the paper's (appendix Table 2). The key sentence that it asks for is checked to be there and thrown away:
it is report text. Reports leave the machine only towards the endpoint that the user names.
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
from uniferum.errors import UniferumError

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
"""Rule of thumb for English text, for the cost that is printed beforehand."""

ANSWER_TOKENS = 60
"""One sentence and a word, as JSON."""

FINAL_STATUS = frozenset({400, 401, 403, 404, 405, 413, 422})
"""HTTP answers that asking again does not change."""


class EndpointConfig(Section):
    """Where and what to ask.

    Attributes:
        endpoint: base address, e.g. ``http://127.0.0.1:8000/v1``; ``/chat/completions`` is added.
        model: the paper used gpt-4o-mini.
        key_env: environment variable that holds the key; where it is unset, none is sent.
        attempts: tries a question, with growing pauses.
        pause_s: the first pause.
        timeout_s: of one try.
        parallel: questions at once.
        price_in: US dollars a million tokens sent (gpt-4o-mini's list price of 2024).
        price_out: US dollars a million tokens received.
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
    """What the paper's prompt asks for."""

    KeySentence: str
    PresenceOfPathology: Literal["Yes", "No"]

    @field_validator("PresenceOfPathology", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return value.strip().rstrip(".").capitalize() if isinstance(value, str) else value


class BadAnswer(Exception):
    """The model kept answering something other than the JSON it was asked for."""


def prompt_for(label: str, text: str) -> str:
    """The paper's question about one report."""
    return PROMPT.format(pathology=Vocabulary.load().labels[label].name.lower(), report=text)


def content_key(config: EndpointConfig, prompt: str) -> str:
    """Identity of a question by its content and model; tells nothing of the report."""
    return hashlib.sha256(f"{config.model}\n{prompt}".encode()).hexdigest()


def estimated_cost(config: EndpointConfig, questions: int, characters: int) -> float:
    """US dollars, from the characters of all prompts."""
    sent = characters / CHARACTERS_A_TOKEN
    return (sent * config.price_in + questions * ANSWER_TOKENS * config.price_out) / 1e6


def ask(config: EndpointConfig, prompt: str) -> int:
    """Put one question, again where the answer does not validate or the endpoint is busy.

    Returns:
        1 for Yes, 0 for No.

    Raises:
        UniferumError: the endpoint cannot be reached, or refuses.
        BadAnswer: it answers, but never in the form asked for.
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
        except UniferumError:  # a ValueError too, and no bad answer
            raise
        except (ValidationError, ValueError, KeyError, IndexError, TypeError):
            reached = True
    if reached:
        raise BadAnswer
    raise UniferumError("--endpoint", config.endpoint, must="answer", cure=f"{fault}; the same command goes on later")


def read_answer(content: str) -> LlmAnswer:
    """The JSON of an answer, bare or in a fenced block.

    Raises:
        ValidationError: it is not the JSON asked for.
    """
    fenced = re.search(r"```(?:json)?\s*(.*?)```", content, re.DOTALL)
    return LlmAnswer.model_validate_json(fenced.group(1) if fenced else content.strip())


class _Busy(Exception):
    """The endpoint did not answer this time."""


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
            cure = f"check --endpoint, --model and {config.key_env}"
            raise UniferumError("--endpoint", f"HTTP {error.code}", must="accept the question", cure=cure) from None
        raise _Busy(f"it answered HTTP {error.code}") from None
    except (OSError, HTTPException) as error:
        raise _Busy(f"no connection ({type(error).__name__})") from None
    return str(answer["choices"][0]["message"]["content"])
