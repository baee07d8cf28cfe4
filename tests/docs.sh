#!/bin/sh
# SPDX-License-Identifier: ISC
# docs.sh: the man pages are well-formed, those of programs have the options
# that the programs have, and docs/architecture.md the files that there are.
# (Keys of the configuration: tests/unit/test_conf_docs; figures:
# tests/unit/test_metrics_text.)
set -u

src=${top_srcdir:-.}
build=${top_builddir:-.}
pages="supervisor/avtoworkerd.8 supervisor/avtoworker.conf.5
    ctl/avtoworkerctl.8 child/avtoworker-channel.7
    child/avtoworker-handler.3"
n=0

report() { # STATUS DESCRIPTION [COMPLAINT]
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		printf '%s\n' "${3-}" | sed 's/^/# /'
	fi
}

# Prints "-c" and "--config", one a line, of what --help lists.
options_of_program() { # PROGRAM
	"$build/$1" --help | sed -n '1,/^Keys of/p' |
	    sed -nE 's/^ +(-[^ ]+( --[^ ]+)?).*/\1/p' | tr -s ', ' '\n' |
	    sort -u
}

# The same of the page's list; a backslash goes on in the next line.
options_of_page() { # PAGE
	awk '
	{ line = line $0 }
	/\\$/ { sub(/\\$/, "", line); next }
	line ~ /^\.It Fl/ {
		words = split(line, word, " ")
		for (i = 2; i < words; i++)
			if (word[i] == "Fl")
				print "-" word[i + 1]
	}
	{ line = "" }' "$src/$1" | sort -u
}

echo 1..10
for one in $pages; do
	if command -v mandoc > /dev/null; then
		said=$(mandoc -T lint -W warning "$src/$one" 2>&1)
		report $? "$one is clean" "$said"
	else
		n=$((n + 1))
		echo "ok $n - $one is clean # SKIP no mandoc; on Debian:" \
		    "apt-get install mandoc"
	fi
done

for one in supervisor/avtoworkerd ctl/avtoworkerctl; do
	has=$(options_of_program "${one##*/}")
	[ "$(printf '%s\n' "$has" | grep -c '^--')" -ge 5 ]
	report $? "${one##*/} --help lists options" "$has"
	documented=$(options_of_page "$one.8")
	[ "$has" = "$documented" ]
	report $? "${one##*/}(8) has exactly the options of --help" \
	    "--help: $(echo $has); page: $(echo $documented)"
done

map=$src/docs/architecture.md
unnamed=$(cd "$src" && find supervisor child -name '*.c' | sort |
    while read -r file; do
	grep -q "\`${file##*/}\`" "$map" || echo "$file"
    done)
[ -z "$unnamed" ]
report $? "docs/architecture.md names every source file" "missing: $unnamed"
