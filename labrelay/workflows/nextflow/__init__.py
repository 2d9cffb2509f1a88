"""Nextflow: where it is, how a pipeline is started and watched, and what its end means."""
