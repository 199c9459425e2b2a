"""`anomalite bench`: what a bundle costs on the board at hand. No other command imports this package."""
