"""What an unknown dataset holds, and the format that would train on it. Start from `look.inspect`."""
