"""HTTP/1.1 as bytes: heads, fields, bodies. No connection, no clock."""
