"""``otel-dify logs``: what log files say, in bounded memory."""
