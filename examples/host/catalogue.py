"""The catalogue of models: what Dify reads from a provider's plugin."""

from __future__ import annotations

from decimal import Decimal

from graphon.model_runtime.entities.common_entities import I18nObject
from graphon.model_runtime.entities.model_entities import (
    AIModelEntity,
    FetchFrom,
    ModelPropertyKey,
    ModelType,
    ParameterRule,
    ParameterType,
    PriceConfig,
)

PROVIDER = "langgenius/openai/openai"
MILLIONTH = Decimal("0.000001")
# US dollars of a million tokens: input, output.
_PRICES = {
    "gpt-4o-mini": ("0.15", "0.60"),
    "gpt-4o": ("2.50", "10.00"),
    "o4-mini": ("1.10", "4.40"),
    "text-embedding-3-small": ("0.02", "0"),
}


def label_of(text: str) -> I18nObject:
    """Return a text for all languages."""
    return I18nObject(en_US=text)


def price_of(model: str) -> tuple[Decimal, Decimal]:
    """Return the US dollars of a million tokens: input, output; 0 where there is no price."""
    # A suffix that asks the server for a fault ("gpt-4o-mini-error") costs what the model costs.
    name = max((n for n in _PRICES if model.startswith(n)), key=len, default="")
    unit_in, unit_out = _PRICES.get(name, ("0", "0"))
    return Decimal(unit_in), Decimal(unit_out)


def schema_of(model: str, model_type: ModelType) -> AIModelEntity:
    """Return what is known of a model: context, parameters, price. Every name is one."""
    unit_in, unit_out = price_of(model)
    return AIModelEntity(
        model=model,
        label=label_of(model),
        model_type=model_type,
        fetch_from=FetchFrom.PREDEFINED_MODEL,
        model_properties={ModelPropertyKey.MODE: "chat", ModelPropertyKey.CONTEXT_SIZE: 128_000},
        parameter_rules=[
            ParameterRule(
                name=name,
                use_template=name,
                label=label_of(name),
                type=ParameterType.INT if name == "max_tokens" else ParameterType.FLOAT,
            )
            for name in ("temperature", "top_p", "max_tokens")
        ],
        pricing=PriceConfig(input=unit_in, output=unit_out, unit=MILLIONTH, currency="USD"),
    )
