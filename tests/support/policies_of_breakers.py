"""The files of the small rule book (`policies.py`) about what the gate does by itself, and about what is kept."""

BEATS = """
[beats]
supervisor = { beat_ms = 1000, grace_ms = 4000, paused_after_ms = 20000, halted_after_ms = 60000, clean_ms = 2000 }
market_data = { beat_ms = 1000, grace_ms = 4000, paused_after_ms = 20000, halted_after_ms = "never", clean_ms = 2000 }
clock = { beat_ms = 100, grace_ms = 4900, paused_after_ms = 20000, halted_after_ms = "never", clean_ms = 2000 }
journal = { beat_ms = 1000, grace_ms = 4000, paused_after_ms = 20000, halted_after_ms = 60000, clean_ms = 2000 }
"""

# None of these binds: what they do is tested with rules of the test's own.
BREAKERS = """
in_force = []
breakers = {}

[recoveries.slow]
open_ms_min = 60000
clean_ms = 10000
probation_ms = 60000
probation_bps = 1000
retrip_ms = 600000
top = "halt"
is_latched = false
"""

TELEMETRY = """
in_force = []
thresholds = {}

[measures]
volatility = { age_ms_max = 10000, when_missing = "alert", when_stale = "reduce-only" }
"""

DYNAMIC = "in_force = []\nfactors = {}\n"

RETENTION = """
years = 7
legal_holds = ["executor-9"]
"""
