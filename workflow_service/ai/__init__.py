"""Language models: one client for any OpenAI-compatible endpoint, its prompts, its cache, what it costs and may cost."""
