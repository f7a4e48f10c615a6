"""The routing table for routers: compiled, checked, published, explained."""
