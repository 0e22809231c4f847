"""What a night is: plan, window, clock, budget."""
