"""Baselines, anomalies and predictions."""
