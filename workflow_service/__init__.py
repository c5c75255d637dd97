"""The platform: engine, agents, accounts, operations and the embedded servers."""
