# SPDX-License-Identifier: ISC
# Sourced by start, stop and queue: where the harness, the installed suite and the peer's files are.
# BENCH is the harness's folder (a link to this folder stands in its peers/);
# POSTKEEP_ROOT is what `make install DESTDIR=` made (scripts/bench sets both).
BENCH=${BENCH:?the harness folder, set by the harness}
export BENCH
. "$BENCH/lib/common.sh"
N=postkeep
R=$PEERS/$N
ROOT=${POSTKEEP_ROOT:-$(cat "$R/root" 2>/dev/null)}
ETC=$R/etc
for p in usr/local usr; do
	[ -x "$ROOT/$p/sbin/postkeep" ] && PREFIX=$ROOT/$p
done
: "${PREFIX:?install the suite and set POSTKEEP_ROOT}"
