"""The client's side of the router."""
