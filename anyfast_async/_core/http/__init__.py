"""HTTP/1 as bytes: heads, bodies, compression, bounds."""
