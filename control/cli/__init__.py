"""The `turnout` command. It talks to a control plane, or starts the servers."""
