"""Speed, beside what others take and what the machine could do. See `python -m benchmarks.speed
--help`.
"""
