"""Label reports offline by rules: negation and uncertainty around each mention, similar to NegEx and CheXpert.

A mention is affirmed unless a negating or doubting phrase is in its scope, which ends at the sentence or at another
clause. A report with an affirmed mention is positive, with only doubted ones unknown, else negative, as in the paper's
prompt ("If no pathology is mentioned, assume 'No'").
"""

import re
from collections.abc import Iterator
from typing import Literal

from uniferum.data.report_labels.keywords import mentions

Stance = Literal["affirmed", "negated", "doubted"]

# Chapman et al. 2001 (NegEx) and Irvin et al. 2019 (CheXpert) list such phrases; these are adapted to chest CT.
_NOT_NEGATING = (
    "no significant change", "no interval change", "no change", "no significant interval change", "no increase",
    "no decrease", "not only", "not necessarily", "without change", "no new change",
)  # fmt: skip
_NEGATES_AFTER = (
    "no", "not", "without", "without evidence of", "negative for", "absence of", "free of", "never", "neither",
    "resolution of", "interval resolution of", "ruled out", "rule out", "denies", "no evidence of", "fails to show",
)  # fmt: skip
_NEGATES_BEFORE = (
    "is not seen", "are not seen", "not identified", "is not present", "are not present", "is absent", "are absent",
    "has resolved", "have resolved", "resolved", "not visualized", "no longer seen", "no longer present",
    "is ruled out", "are ruled out", "is excluded", "not demonstrated", "not evident",
)  # fmt: skip
_DOUBTS_AFTER = (
    "possible", "possibly", "probable", "probably", "may represent", "may reflect", "might represent",
    "could represent", "could reflect", "cannot exclude", "can not exclude", "not excluded", "suspicious for",
    "suspected", "concerning for", "concern for", "questionable", "question of",
    "versus", "vs", "equivocal for", "suggestive of", "suggesting",
    "differential includes", "cannot rule out", "evaluate for", "assess for",
)  # fmt: skip
_DOUBTS_BEFORE = (
    "is possible", "is suspected", "not excluded", "cannot be excluded", "can not be excluded", "is questionable",
    "is not entirely excluded", "could not be excluded", "versus", "vs", "less likely", "is equivocal",
)  # fmt: skip
_CLAUSE_ENDS = (
    "but", "however", "although", "though", "nevertheless", "yet", "except", "apart from", "aside from", "otherwise",
    "there is", "there are", "which", "redemonstrated", "persistent", "secondary to", "due to", "in the setting of",
)  # fmt: skip
_NEW_FINDING = r",\s+(?:a\s+|and\s+)?(?:small|mild|moderate|large|severe|trace|stable|unchanged|new|multiple|scattered)"

_SENTENCE_END = re.compile(r"[!?;\n\r]+|\.(?!\d)")


def _any(phrases: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in sorted(phrases, key=len, reverse=True))
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


NOT_NEGATING, CLAUSE_ENDS = _any(_NOT_NEGATING), re.compile(rf"{_any(_CLAUSE_ENDS).pattern}|{_NEW_FINDING}", re.I)
NEGATES_AFTER, NEGATES_BEFORE = _any(_NEGATES_AFTER), _any(_NEGATES_BEFORE)
DOUBTS_AFTER, DOUBTS_BEFORE = _any(_DOUBTS_AFTER), _any(_DOUBTS_BEFORE)


def judge(label: str, text: str) -> int | None:
    """Judge whether a report affirms the label: 1, 0, or ``None`` if it is uncertain.

    Raises:
        UniferumError: the label has no keywords.
    """
    stances = {stance for sentence in sentences(text) for stance in stances_in(label, sentence)}
    if "affirmed" in stances:
        return 1
    return None if "doubted" in stances else 0


def sentences(text: str) -> Iterator[str]:
    """Split a report into sentences; no sentence ends at a decimal point or list number."""
    yield from (part.strip() for part in _SENTENCE_END.split(text) if part.strip())


def stances_in(label: str, sentence: str) -> Iterator[Stance]:
    """Stance of a sentence on each of its mentions of the label."""
    plain = NOT_NEGATING.sub(lambda match: " " * len(match.group()), sentence)
    for start, end in mentions(label, plain):
        before, after = _scope_before(plain[:start]), _scope_after(plain[end:])
        if DOUBTS_AFTER.search(before) or DOUBTS_BEFORE.search(after):
            yield "doubted"
        elif NEGATES_AFTER.search(before) or NEGATES_BEFORE.search(after):
            yield "negated"
        else:
            yield "affirmed"


def _scope_before(text: str) -> str:
    """Text before a mention that can still refer to it."""
    ends = list(CLAUSE_ENDS.finditer(text))
    return text[ends[-1].start() :] if ends else text


def _scope_after(text: str) -> str:
    """Text after a mention that can still refer to it: up to the next clause or comma."""
    end = re.search(rf"{CLAUSE_ENDS.pattern}|,", text, re.IGNORECASE)
    return text[: end.start()] if end else text
