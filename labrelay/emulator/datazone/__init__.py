"""Amazon DataZone on one machine: what is published there is found, and lineage meets it."""
