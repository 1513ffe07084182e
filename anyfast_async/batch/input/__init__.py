"""What a batch reads: files of rows in several formats, and the requests that are made of them."""
