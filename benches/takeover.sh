#!/usr/bin/env bash
# How long a group's partitions are unread when its members die, leave and join. Prints a line a
# figure: name, figure, limit, ok or FAIL. Exit 1 if any failed.
#
#   benches/takeover.sh [ROUNDS]      default: 200 of each
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench takeover -- "${1:-200}"
