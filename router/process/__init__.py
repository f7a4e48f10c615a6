"""What every process needs: settings files, sockets, tokens, an admin port, a state directory."""
