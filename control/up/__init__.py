"""`turnout up`: a control plane and a router on one host."""
