"""The replicas' side of the router."""
