"""Workflows on this machine: one runner for a home, one engine process for an attempt, one sandbox for a task."""
