"""What happens, in which order? Plain functions from announcement to reprocessing; no Prefect."""
