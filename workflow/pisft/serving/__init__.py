"""Serves a policy over openpi's websocket protocol, and drives a robot by it. Start from `server.serve`."""
