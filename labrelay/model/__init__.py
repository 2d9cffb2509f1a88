"""The words that all rooms use: frozen models, the state reducer, errors, safe names, digests, fault points."""
