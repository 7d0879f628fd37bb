#!/usr/bin/env bash
# The cost of replication: the wait for all in-sync replicas, the rate and the memory of a producer, a
# broker that catches up, an idle cluster. Prints a line a figure: name, figure, limit, ok or FAIL. Exit 1 if any
# failed. Needs about 6 GiB where TMPDIR is.
#
#   benches/replication.sh
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --quiet --bench replication
