"""Speed and memory of Everlong beside its peers, measured in one run: `python -m benchmarks`.

The peers' own environments run this package too, and have torch but no Everlong: only `peers.ours` may import it.
"""
