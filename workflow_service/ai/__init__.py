"""Language models: one client for any OpenAI-compatible endpoint, its prompts, its cache, and what it may cost."""
