# SPDX-License-Identifier: ISC
# What the compiler does not say about the shape of the sources: headers that
# stand alone, includes that point down only, one format, no state outside the
# structs. make check sets the variables; the defaults serve a run by hand in
# a build directory.
: "${top_srcdir:=.}" "${top_builddir:=.}" "${CC:=cc}" "${NM:=nm}"
: "${HEADER_CFLAGS:=-std=gnu11 -D_GNU_SOURCE}"
format_major=14 # releases of clang-format differ in what they find clean

tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
build=$(cd "$top_builddir" && pwd) || exit 99
cd "$top_srcdir" || exit 99
folders='child supervisor ctl handlers tests'
count=0

# report NAME: passes when nothing has been written to $tmp/faults.
report() {
	count=$((count + 1))
	if [ -s "$tmp/faults" ]; then
		sed 's/^/# /' "$tmp/faults"
		echo "not ok $count - $1"
	else
		echo "ok $count - $1"
	fi
	: > "$tmp/faults"
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# sources PATTERN FOLDER...: the files of that name.
sources() {
	pattern=$1
	shift
	find "$@" -type f -name "$pattern" | sort
}

# includes FOLDER...: "FILE:HEADER" for what its files include of ours.
includes() {
	sources '*.[ch]' "$@" | xargs grep -H '^ *# *include *"' |
	    sed 's/^\([^:]*\):[^"]*"\([^"]*\)".*/\1:\2/'
}

headers() {
	for header in $(sources '*.h' $folders); do
		# Twice: it must stand being included again.
		printf '#include "%s"\n#include "%s"\nextern int unused;\n' \
		    "$header" "$header" > "$tmp/header.c"
		$CC $HEADER_CFLAGS -I. -I"$build" -Wall -Wextra -Werror \
		    -fsyntax-only "$tmp/header.c" >> "$tmp/faults" 2>&1 ||
		    echo "$header does not compile alone" >> "$tmp/faults"
	done
}

halves() {
	includes supervisor | awk -F: '
	    $2 ~ /^supervisor\/children\// { children[$1] = 1 }
	    $2 ~ /^supervisor\/orchestrator\// { orchestrator[$1] = 1 }
	    $2 ~ /^supervisor\/run\.h/ { run[$1] = 1 }
	    END {
		for (file in children)
			if (file in orchestrator && !(file in run))
				print file
	    }'
}

format() {
	name='the sources are formatted'
	if [ -z "$CLANG_FORMAT" ]; then
		skip "$name" 'clang-format is not installed'
		return
	fi
	case $($CLANG_FORMAT --version) in
	*"version $format_major."*) ;;
	*)
		skip "$name" "clang-format $format_major is not installed"
		return
		;;
	esac
	for file in $(sources '*.[ch]' $folders); do
		$CLANG_FORMAT --dry-run -Werror "$file" > /dev/null 2>&1 ||
		    echo "$file: run clang-format -i" >> "$tmp/faults"
	done
	report "$name"
}

# Writable data of every object but the log's, whose sink is one per process,
# and the reserve's, which hooks without an argument use.
# Tables that hold pointers lie in .data.rel.ro: written by the linker alone.
data() {
	name='the supervisor keeps no state in static variables'
	if [ -n "$SANITIZERS" ]; then
		skip "$name" 'sanitizers add variables of their own'
		return
	fi
	$NM -f sysv "$build/libsupervisor.a" > "$tmp/symbols" 2>&1 || {
		cat "$tmp/symbols" >> "$tmp/faults"
		report "$name"
		return
	}
	awk -F'|' '
	    $1 ~ /\[.*\.o\]:/ {
		object = $1
		sub(/^.*\[/, "", object)
		sub(/\].*$/, "", object)
		sub(/^libsupervisor_a-/, "", object)
		objects++
	    }
	    NF >= 7 {
		gsub(/ /, "", $1)
		gsub(/ /, "", $3)
		if ($3 ~ /^[bBdDC]$/ && $7 !~ /\.data\.rel\.ro/ &&
		    object != "log.o" && object != "reserve.o")
			print object ": " $1
	    }
	    END {
		if (objects == 0)
			print "no objects found in the library"
	    }' "$tmp/symbols" >> "$tmp/faults"
	report "$name"
}

echo 1..8
: > "$tmp/faults"

headers
report 'every header compiles alone'

includes supervisor/base |
    grep -v -e ':supervisor/base/' -e ':child/bytes\.h$' -e ':config\.h$' \
    >> "$tmp/faults"
report 'supervisor/base includes nothing from above'

includes supervisor/children |
    grep -e ':supervisor/orchestrator/' -e ':supervisor/supervisor\.h$' \
    >> "$tmp/faults"
report 'supervisor/children does not know the orchestrator'

includes supervisor/orchestrator |
    grep -e ':supervisor/children/' -e ':supervisor/supervisor\.h$' \
    >> "$tmp/faults"
report 'supervisor/orchestrator does not know the children'

includes child | grep ':supervisor/' >> "$tmp/faults"
report 'the child does not know the supervisor'

halves >> "$tmp/faults"
report 'only the run joins the halves'

format
data
