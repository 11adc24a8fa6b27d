"""OpenAI's Responses API, without state: nothing is stored, so each request brings all of it."""
