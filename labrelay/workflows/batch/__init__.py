"""AWS Batch: one job a workflow run, or one array job for many."""
