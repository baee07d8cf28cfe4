# SPDX-License-Identifier: ISC
# fuzz.sh: runs a target of libFuzzer for FUZZ_SECONDS, as a test, in the order
# that AVTOWORKER_SEED makes, or in another each time without it. What it finds
# that is new is kept in fuzz-found/, in the folder of its name, and what has
# crashed it beside that. One input may take a minute before it counts as a hang:
# libFuzzer counts wall time, and a disk may stand still for a while. Called by
# "make fuzz", in the build directory.
set -u

name=${1##*/fuzz_}
corpus=$top_srcdir/tests/fuzz/corpus/$name
dict=$top_srcdir/tests/fuzz/$name.dict
found=fuzz-found/$name

echo 1..1
mkdir -p "$found"
if "$1" -max_total_time="$FUZZ_SECONDS" -timeout=60 -rss_limit_mb=1024 \
    -seed="${AVTOWORKER_SEED:-0}" -print_final_stats=1 -artifact_prefix="$found-" \
    $(test -f "$dict" && echo "-dict=$dict") "$found" "$corpus" \
    > "$found.log" 2>&1; then
	verdict=ok
else
	verdict='not ok'
fi
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")
echo "$verdict 1 - $name, $FUZZ_SECONDS s: ${runs:-no} runs"
if [ "$verdict" != ok ]; then
	grep -E 'ERROR:|SUMMARY:|^Base64:' "$found.log" | sed 's/^/# /'
	tail -n 40 "$found.log" | sed 's/^/# /'
fi
