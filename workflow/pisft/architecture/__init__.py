"""What a π₀ or π₀.₅ is made of and what it costs, told without torch and without building one."""
