"""Gateways for models: they know the format, answer for many servers behind them, and try again by themselves."""

from __future__ import annotations

from peers import Peer

GATEWAYS: tuple[Peer, ...] = ()
