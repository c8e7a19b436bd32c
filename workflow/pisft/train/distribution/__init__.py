"""The processes that train together: launching, communication and sharding. Start from `launch.launch`."""
