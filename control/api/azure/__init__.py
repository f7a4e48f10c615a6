"""The Azure-shaped API: the native one behind ARM's paths, envelopes and operations."""
