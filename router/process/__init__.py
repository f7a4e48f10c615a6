"""The kit of every process: settings files, sockets, tokens, admin port, state directory."""
