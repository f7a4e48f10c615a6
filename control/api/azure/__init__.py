"""The Azure-shaped API: the same as the native one behind ARM's paths, envelopes and operations."""
