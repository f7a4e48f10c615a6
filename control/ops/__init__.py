"""How the control plane itself is: health, metrics, what is quarantined, regular upkeep."""
