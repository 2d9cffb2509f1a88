"""What did the instrument, or a tool, write? Files in, values out: no network, no database, no cloud."""
