#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what is missing, builds, and runs test suites. The last line is
# "N passed, N failed, N skipped"; the status is 0 only when nothing failed.
#
#   sh tests/run.sh                 every suite
#   sh tests/run.sh unit lint       these suites
#   sh tests/run.sh --list          the suites and what they are
set -eu

cd "$(dirname "$0")/.."
all="lint unit fuzz bare ui lab clang asan"

describe () {
  cat <<END
lint    layer arrows, headers, licences, format, shared variables
unit    one test a source file, no KVM, no network, no root; under a minute
fuzz    the fuzz targets over their kept inputs
bare    payload guests of our own on this machine's /dev/kvm
ui      the window under a virtual X server, driven through accessibility
lab     stock guests, on hardware KVM or in the emulated outer machine
clang   a second build with clang, warnings are errors; its unit suite
asan    a third build with the address and undefined behaviour sanitizers; unit, fuzz, bare
END
}

suites=
no_install=${ALCOVE_NO_INSTALL:-}
for word in "$@"; do
  case $word in
    --list) describe; exit 0 ;;
    --no-install) no_install=1 ;;
    -*) echo "usage: sh tests/run.sh [--list] [--no-install] [SUITE...]" >&2; exit 2 ;;
    *)
      case " $all " in
        *" $word "*) suites="$suites $word" ;;
        *) echo "run.sh: no suite named $word; there is: $all" >&2; exit 2 ;;
      esac ;;
  esac
done
[ -n "$suites" ] || suites=$all

if [ -z "$no_install" ]; then
  sh data/packages/install.sh build run try lab test
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
mkdir "$results/parts" "$results/claims"
ALCOVE_LAB_RETRIES=$results/retries
export ALCOVE_LAB_RETRIES
: >"$ALCOVE_LAB_RETRIES"
jobs=$(nproc)
[ "$jobs" -le 8 ] || jobs=8

# build FOLDER COMPILER [option...]: configures once, builds; a failure is one failed test.
build () {
  folder=$1 compiler=$2 log=$results/build-$1.log
  shift 2
  if [ ! -f "$folder/build.ninja" ]; then
    command -v ccache >/dev/null 2>&1 && compiler="ccache $compiler"
    rm -rf "$folder"
    CC=$compiler meson setup "$folder" "$@" >"$log" 2>&1 || {
      tail -30 "$log"
      echo "failed build of $folder: meson setup" >"$results/parts/$folder"
      tail -15 "$log" | sed 's/^/  | /' >>"$results/parts/$folder"
      return 1
    }
  fi
  if ninja -C "$folder" -j "$jobs" >"$log" 2>&1; then
    echo "passed build of $folder" >"$results/parts/$folder"
  else
    grep -v '^\[' "$log" | tail -40
    echo "failed build of $folder: ninja" >"$results/parts/$folder"
    grep -v '^\[' "$log" | tail -15 | sed 's/^/  | /' >>"$results/parts/$folder"
    return 1
  fi
}

# run PART FOLDER SUITE [TEST]: tests of a suite, or one of them; the counts in $results/PART.counts.
run () {
  part=$1 tree=$2 log=$2/meson-logs/$1.junit.xml threads=$jobs which="--suite $3" label=$3
  [ -z "${4:-}" ] || which=$4
  [ "$tree" = build ] || label="${tree#build-} $3"
  case $3 in lab | ui | bare) threads=1 ;; esac
  rm -f "$log" "${log%.junit.xml}.json"
  begun=$(date +%s)
  (
    if [ "$tree" = build-asan ]; then
      ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1}
      UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
      export ASAN_OPTIONS UBSAN_OPTIONS
    fi
    # shellcheck disable=SC2086
    exec meson test -C "$tree" --no-rebuild $which --logbase "$part" --num-processes "$threads" \
      --print-errorlogs >"$results/$part.out" 2>&1
  ) && ended=0 || ended=$?
  {
    echo "== $label${4:+ $4}: $(($(date +%s) - begun)) s"
    grep -v -e '^ninja:' -e '^$' -e '^Full log' "$results/$part.out" || true
  } >"$results/$part.show"
  cat "$results/$part.show"
  python3 tests/count.py "$log" "$label" >"$results/$part.counts"
  # meson writes its report last: one that was killed has none, and whatever had run proves nothing.
  if [ ! -f "$log" ] && [ "$ended" != 0 ]; then
    echo "failed $label${4:+ $4}: meson ended with status $ended and left no report"
    tail -15 "$results/$part.out" | sed 's/^/  | /'
  fi >>"$results/$part.counts"
}

# suite FOLDER SUITE [TEST]: may run beside others.
suite () {
  run "$(echo "$1-$2${3:+-$3}" | tr / -)" "$@"
  mv "$results/$part.counts" "$results/parts/$part"
  case $2 in
    lab | ui | bare) python3 tests/count.py --failed "$log" | sed "s|^|$1 $2 |" >>"$results/again" ;;
  esac
}

# one SUITE
one () {
  case $1 in
    clang)
      build build-clang clang -Dwerror=true && suite build-clang unit ;;
    asan)
      if build build-asan gcc -Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false; then
        for asan in unit fuzz bare; do suite build-asan $asan; done
      fi ;;
    lab/*) suite build lab "$1" ;;
    *) suite build "$1" ;;
  esac
}

# lane WORK...: does one after another what no other lane has begun.
lane () {
  for work in "$@"; do
    claim=$results/claims/$(echo "$work" | tr / -)
    if mkdir "$claim" 2>/dev/null; then
      one "$work" || true
      : >"$claim/done"
    fi
  done
}

started=$(date +%s)
if build build gcc; then
  long=
  lab=
  for s in asan clang ui bare; do
    case " $suites " in *" $s "*) long="$long $s" ;; esac
  done
  for s in $suites; do
    case $s in
      lab) lab=$(python3 tests/count.py --tests build lab) ;;
      lint | unit | fuzz) one "$s" || true ;;
    esac
  done
  # What is left keeps about one processor busy, each of the lab's suites too: a lane for each
  # processor, not more than four, because an outer machine may use 4 GiB.
  lanes=$jobs
  [ "$lanes" -le 4 ] || lanes=4
  jobs=$((jobs / lanes))
  # shellcheck disable=SC2086
  while [ "$lanes" -gt 1 ]; do
    lane $lab $long &
    lanes=$((lanes - 1))
  done
  # shellcheck disable=SC2086
  lane $long $lab
  wait
  for work in $long $lab; do
    [ -e "$results/claims/$(echo "$work" | tr / -)/done" ] ||
      echo "failed $work: its lane ended before it" >"$results/parts/$(echo "$work" | tr / -)"
  done
fi
cat "$results"/parts/* >"$results/counts"

# What depends on the machine's mood gets a second chance, alone, and is named.
if [ -s "$results/again" ]; then
  jobs=1
  while read -r tree name test; do
    echo "== second try: $test"
    run again "$tree" "$name" "$test" </dev/null
    python3 tests/count.py --merge "$results/counts" "$results/again.counts" >"$results/merged"
    mv "$results/merged" "$results/counts"
  done <"$results/again"
fi

python3 tests/count.py --summary "$results/counts"
[ ! -s "$results/again" ] || sed 's/^/second try: /' "$results/again"
if [ -s "$ALCOVE_LAB_RETRIES" ]; then
  echo "lab retries: $(grep -vc '^went on' "$ALCOVE_LAB_RETRIES" || true)"
  cat "$ALCOVE_LAB_RETRIES"
fi
echo "took $(($(date +%s) - started)) s"
passed=$(grep -c '^passed' "$results/counts" || true)
failed=$(grep -c '^failed' "$results/counts" || true)
skipped=$(grep -c '^skipped' "$results/counts" || true)
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
