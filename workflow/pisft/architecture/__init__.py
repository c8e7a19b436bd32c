"""Parameters, memory and FLOPs of a π₀ or π₀.₅, computed without torch and without building one."""
