"""The pure core: values in, values out.

Nothing in here may import asyncio, aiohttp or tenacity, read a clock, the environment or a random number, or touch a
file or a socket. What it needs of those is given to it as an argument.
"""
