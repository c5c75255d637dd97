"""Telling people and other services what happened: by e-mail, in the service itself, and by signed webhooks."""
