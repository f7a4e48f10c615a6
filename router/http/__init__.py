"""HTTP/1.1 as bytes: heads, fields, bodies. Knows neither connections nor time."""
