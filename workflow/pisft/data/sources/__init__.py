"""Where datasets come from: the hub, local folders, older versions. Start from `library.open_dataset`."""
