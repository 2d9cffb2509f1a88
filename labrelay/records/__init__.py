"""What do we know, and who has been told? The metadata store, provenance, audit, outbox and the notebook's adapters."""
