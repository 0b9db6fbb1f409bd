"""What the rules of voting do to accuracy, measured on simulated voters and held against the formulas."""
