"""Workflow bundles on AWS HealthOmics: publishing, runs, what they cost and why they fail."""
