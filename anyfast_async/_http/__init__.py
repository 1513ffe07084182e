"""Over the wire: connections, requests as bytes, answers as they arrive, the key and the addresses."""
