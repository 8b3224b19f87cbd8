"""The pages, one module each: what it reads of the index, and the record that its template shows."""
