"""What the model server answers: deterministic, and just good enough for the example apps."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

EMBEDDING_DIMENSIONS = 64
# A cached prompt is billed by whole blocks, as OpenAI does (128 tokens there, less here, so that
# short prompts have some).
CACHE_BLOCK = 16
REASONING_TOKENS = 48


def tokens_of(text: str) -> int:
    """Return the tokens of a text: four characters each, rounded up."""
    return math.ceil(len(text) / 4)


def embedding_of(text: str) -> list[float]:
    """Return a unit vector in which texts with common words lie close together."""
    vector = [0.0] * EMBEDDING_DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % EMBEDDING_DIMENSIONS] += 1.0
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]


def relevance_of(query: str, document: str) -> float:
    """Return the share of the query's words that the document has."""
    wanted = set(re.findall(r"\w+", query.lower()))
    found = wanted & set(re.findall(r"\w+", document.lower()))
    return round(len(found) / (len(wanted) or 1), 4)


def answer_to(messages: list[dict[str, Any]]) -> str:
    """Return the answer to a conversation.

    Three prompts have meaning: a question classifier's (JSON with `categories`), one with
    `Round: <n>` (a draft, from round 2 on marked FINAL), and anything else (an echo).
    """
    last = str(messages[-1].get("content") or "")
    if '"categories"' in last and '"input_text"' in last:
        return _classify(last)
    words = " ".join(last.split())
    if found := re.search(r"Round: (\d+)", last):
        mark = "FINAL" if int(found[1]) > 1 else "DRAFT"
        return f"{mark} report after round {found[1]}."
    return f"Here is what I make of it: {words[:120]}"


def _classify(prompt: str) -> str:
    listed = re.search(r'"categories":\s*(\[.*?\])', prompt, re.DOTALL)
    asked = re.search(r'"input_text":\s*\["(.*?)"\]', prompt, re.DOTALL)
    categories = json.loads(listed[1]) if listed else []
    words = {w[:5] for w in re.findall(r"\w{4,}", (asked[1] if asked else "").lower())}

    def score(category: Mapping[str, str]) -> int:
        names = re.findall(r"\w{4,}", category["category_name"].lower())
        return len(words & {name[:5] for name in names})

    # None of them fits: the last, which by custom is "anything else".
    best = max(reversed(categories), key=score)
    return "```json\n" + json.dumps({"keywords": sorted(words)[:3], **best}) + "\n```"


def usage_of(model: str, messages: list[dict[str, Any]], answer: str) -> dict[str, Any]:
    """Return the usage object of a chat answer, cached and reasoning tokens among the details."""
    prompt = sum(tokens_of(str(m.get("content") or "")) + 3 for m in messages)
    system = sum(tokens_of(str(m["content"])) for m in messages if m["role"] == "system")
    reasoning = REASONING_TOKENS if re.match(r"o\d", model) else 0
    completion = tokens_of(answer) + reasoning
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": system // CACHE_BLOCK * CACHE_BLOCK},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
