"""Small stand-ins for samtools, bcftools and minimap2, for machines where PATH has no such program."""
