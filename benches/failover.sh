#!/usr/bin/env bash
# How long a partition takes no record when its leader's broker dies, and how soon there is another
# controller. Prints a line a figure: name, figure, limit, ok or FAIL. Exit 1 if any failed.
#
#   benches/failover.sh [ROUNDS]      default: 200 of each
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench failover -- "${1:-200}"
