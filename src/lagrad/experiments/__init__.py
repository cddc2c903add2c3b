"""Experiments: functions that return data, and the figures drawn from it."""
