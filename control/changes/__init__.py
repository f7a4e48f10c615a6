"""How a caller's change becomes a committed one; resource groups and environments."""
