"""JSON-RPC 2.0 over HTTP: decoding at the edge, one function a method."""
