#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The lab itself: exit status, exact arguments, streams, the artefact folder, time-out, refusal.
set -u
lab=$(dirname "$0")/lab
n=0
check () { # STATUS NAME
  n=$((n + 1))
  if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
echo "TAP version 13"

mkdir "$out/share"
LAB_WORD='pass me' "$lab" --timeout 60 --out "$out/share" -- sh -c '
  printf "[%s]" "$@"; echo "error text" >&2; echo file >"$LAB_OUT/made"
  [ "$LAB_WORD" = "pass me" ] && [ "$PWD" = "$2" ] && [ -w /dev/kvm ] && [ -c /dev/net/tun ] &&
    [ -c /dev/vhost-net ] && grep -qw svm /proc/cpuinfo || exit 1
  touch /etc/lab-was-here && exit 42' \
  word "a  b" "$PWD" "it's \"quoted\" \$HOME
and a line" >"$out/stdout" 2>"$out/stderr"
status=$?
[ "$status" = 42 ]
check $? "exit status, environment, folder and devices (status $status)"
printf '[%s]' "a  b" "$PWD" "it's \"quoted\" \$HOME
and a line" | cmp -s - "$out/stdout"
check $? "arguments arrive exactly, output is whole"
grep -qx 'error text' "$out/stderr"
check $? "standard error is a stream of its own"
[ "$(cat "$out/share/made" 2>/dev/null)" = file ]
check $? "the artefact folder is writable"
[ ! -e /etc/lab-was-here ]
check $? "this machine's own root is not touched"

"$lab" --timeout 9 -- sleep 100 2>"$out/stderr"
[ $? = 124 ]
check $? "status 124 when the time is over"
"$lab" --profile hovercraft -- true 2>"$out/stderr"
[ $? = 126 ] && grep -q 'no profile named hovercraft' "$out/stderr"
check $? "an unknown profile is refused by name"
"$lab" --list-profiles >"$out/stdout"
[ $? = 0 ] && grep -q '^plain ' "$out/stdout" && grep -q '^ *nvme0 *0000:00:' "$out/stdout"
check $? "the profiles are listed with their devices"
echo "1..$n"
