"""The JSON files that the stages write, as types: what one holds is its class. Start from `Versioned.read(path)`."""
