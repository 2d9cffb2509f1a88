"""Amazon DataZone on one machine: assets with their forms, listings, glossaries and lineage; what was published is found."""
