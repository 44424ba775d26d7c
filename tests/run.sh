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
ALCOVE_LAB_RETRIES=$results/retries
export ALCOVE_LAB_RETRIES
: >"$ALCOVE_LAB_RETRIES"
jobs=$(nproc)
[ "$jobs" -le 8 ] || jobs=8

# build FOLDER COMPILER [option...]: configures once, builds; a failure is one failed test.
build () {
  folder=$1 compiler=$2
  shift 2
  if [ ! -f "$folder/build.ninja" ]; then
    command -v ccache >/dev/null 2>&1 && compiler="ccache $compiler"
    rm -rf "$folder"
    CC=$compiler meson setup "$folder" "$@" >"$results/setup.log" 2>&1 || {
      tail -30 "$results/setup.log"
      echo "failed build of $folder: meson setup" >>"$results/counts"
      return 1
    }
  fi
  if ninja -C "$folder" -j "$jobs" >"$results/build.log" 2>&1; then
    echo "passed build of $folder" >>"$results/counts"
  else
    grep -v '^\[' "$results/build.log" | tail -40
    echo "failed build of $folder: ninja" >>"$results/counts"
    return 1
  fi
}

# suite FOLDER SUITE: may run beside another FOLDER's.
suite () {
  echo "== $2 ($1)"
  log=$1/meson-logs/testlog.junit.xml
  own=$results/$1-$2
  rm -f "$log"
  threads=$jobs
  case $2 in lab | ui | bare) threads=1 ;; esac
  meson test -C "$1" --no-rebuild --suite "$2" --num-processes "$threads" --print-errorlogs \
    >"$own.out" 2>&1 || true
  grep -v -e '^ninja:' -e '^$' -e '^Full log' "$own.out" || true
  python3 tests/count.py "$log" "$2" >"$own.these"
  case $2 in
    lab | ui | bare)
      # These depend on the machine's mood: what failed gets a second chance, alone, and is named.
      again=$(python3 tests/count.py --failed "$log")
      if [ -n "$again" ]; then
        echo "== $2 ($1), second try: $again"
        # shellcheck disable=SC2086
        meson test -C "$1" --no-rebuild --num-processes 1 --print-errorlogs $again \
          >"$own.out" 2>&1 || true
        grep -v -e '^ninja:' -e '^$' -e '^Full log' "$own.out" || true
        python3 tests/count.py "$log" "$2" >"$own.second"
        python3 tests/count.py --merge "$own.these" "$own.second" >"$own.merged"
        mv "$own.merged" "$own.these"
        for name in $again; do echo "second try: $2 $name" >>"$results/again"; done
      fi ;;
  esac
  cat "$own.these" >>"$results/counts"
}

# one SUITE
one () {
  case $1 in
    clang)
      build build-clang clang -Dwerror=true && suite build-clang unit ;;
    asan)
      if build build-asan gcc -Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false; then
        ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1}
        UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
        export ASAN_OPTIONS UBSAN_OPTIONS
        for part in unit fuzz bare; do suite build-asan $part; done
        unset ASAN_OPTIONS UBSAN_OPTIONS
      fi ;;
    *) suite build "$1" ;;
  esac
}

started=$(date +%s)
if build build gcc; then
  # The lab keeps one processor busy and no more, so what needs other trees goes on beside it.
  beside=
  for s in $suites; do
    case " $suites " in *" lab "*) [ "$s" != clang ] && [ "$s" != asan ] || beside="$beside $s" ;; esac
  done
  for s in $suites; do
    case " $beside " in *" $s "*) continue ;; esac
    if [ "$s" = lab ] && [ -n "$beside" ] && [ "$jobs" -gt 1 ]; then
      suite build lab >"$results/lab" 2>&1 &
      lab=$!
      jobs=$((jobs - 1))
      for other in $beside; do one "$other" || true; done
      wait "$lab" || true
      jobs=$((jobs + 1))
      cat "$results/lab"
      continue
    fi
    one "$s" || true
  done
  [ "$jobs" -gt 1 ] || for s in $beside; do one "$s" || true; done
fi

grep '^failed' "$results/counts" || true
grep '^skipped' "$results/counts" || true
[ ! -f "$results/again" ] || cat "$results/again"
retries=$(wc -l <"$ALCOVE_LAB_RETRIES")
[ "$retries" = 0 ] || { echo "lab retries: $retries"; cat "$ALCOVE_LAB_RETRIES"; }
echo "took $(($(date +%s) - started)) s"
passed=$(grep -c '^passed' "$results/counts" || true)
failed=$(grep -c '^failed' "$results/counts" || true)
skipped=$(grep -c '^skipped' "$results/counts" || true)
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
