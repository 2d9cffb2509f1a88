"""What is published of results to a catalogue outside, and how."""
