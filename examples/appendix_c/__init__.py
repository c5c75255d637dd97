"""The three workflows of document B's appendix C, every state doing something that can be looked at."""
