"""Labrelay carries a lab's instrument run to a result that the notebook knows."""
