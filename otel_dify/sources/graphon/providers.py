"""Names of model providers: Dify's to those of OpenTelemetry's GenAI conventions."""

from __future__ import annotations

# Last part of Dify's provider (`langgenius/openai/openai`) to a well-known value of
# gen_ai.provider.name; all others keep their last part.
_WELL_KNOWN = {
    "azure_ai_studio": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistralai": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "x": "x_ai",
}


def provider_name(dify_provider: str) -> str:
    """Map a provider of Dify to its name in OpenTelemetry's conventions."""
    last = dify_provider.rpartition("/")[2].lower()
    return _WELL_KNOWN.get(last, last)
