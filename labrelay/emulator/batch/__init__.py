"""AWS Batch on one machine: queues, job definitions, and jobs that really run."""
