"""The Azure-shaped API: the same service behind ARM's paths, envelopes and operations."""
