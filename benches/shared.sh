#!/usr/bin/env bash
# The rate of a producer that threads share, beside the engine's producer in a mutex, and its cost for a
# lone thread. Prints a line a figure: name, figure, limit, ok or FAIL. Exit 1 if any failed.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench shared
