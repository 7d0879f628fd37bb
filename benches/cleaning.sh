#!/usr/bin/env bash
# What the removal of old segments costs: a pass over 1,000 segments, and the appends beside it. Prints a line a figure: name, figure, limit, ok or FAIL. Exit 1 if any failed.
# Needs about 1.2 GB in /dev/shm.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench cleaning
