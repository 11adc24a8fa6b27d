"""The HTTP API that clients see: OpenAI's shapes, our guarantees."""
