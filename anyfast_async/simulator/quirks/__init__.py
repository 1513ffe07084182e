"""What gateways and the providers behind them really do to the format of an answer."""
