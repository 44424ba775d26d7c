#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Shows Alcove at work: installs what is missing, builds, assembles a small Linux guest from the
# distribution's own kernel and busybox, and boots it under UEFI in Alcove's window.
#
# With a display the guest is yours until you close it. Without one the same happens under a
# virtual X server. Without a terminal it ends by itself. The status is 0 only when the guest
# reached its user space and its picture was seen in the window.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
out=$root/build/try
say () { echo "try: $*"; }

prepare () {
  sh data/packages/install.sh build run try
  if [ ! -f build/build.ninja ]; then
    say "configuring build/"
    compiler=gcc
    command -v ccache >/dev/null 2>&1 && compiler="ccache gcc"
    CC="${CC:-$compiler}" meson setup build >build-setup.log 2>&1 || {
      cat build-setup.log
      exit 1
    }
    mv build-setup.log build/meson-logs/setup.txt
  fi
  say "building"
  ninja -C build --quiet >build/meson-logs/build.txt 2>&1 || {
    tail -40 build/meson-logs/build.txt
    exit 1
  }
  mkdir -p "$out"
  meson devenv -C build --dump >"$out/devenv.sh" 2>/dev/null
  tests/images/image disk "$out/guest.img"
}

# The machine's folder, made anew: the same guest each time.
define_machine () {
  home=$out/data
  [ -z "${LAB:-}" ] || home=/run/alcove-try
  folder=$home/alcove/machines/try
  rm -rf "$folder"
  mkdir -p "$folder"
  : >"$serial"
  cp --sparse=always "$out/guest.img" "$folder/system.img"
  cat >"$folder/machine.conf" <<END
[machine]
uuid=3e0fd1a2-5a0c-4d0e-9d6f-a1c0ce000001
name=Try
memory=512
cpus=${ALCOVE_TRY_CPUS:-2}
firmware=uefi

[disk system]
file=system.img
format=raw

[nic lan]
backend=user

[display screen]
type=virtio-vga
width=1024
height=768

[serial log]
backend=file
file=$serial

[input keyboard]
type=keyboard

[input tablet]
type=tablet

[rng random]
END
  XDG_DATA_HOME=$home
  export XDG_DATA_HOME
}

picture () { # of the window; of the guest's screen where windows cannot be photographed
  if [ -n "${framebuffer:-}" ]; then
    python3 tests/images/picture.py convert "$framebuffer" "$png"
  else
    alcove screenshot try "$png" >/dev/null
  fi
}

show () {
  results=${LAB_OUT:-$out}
  serial=$results/serial.log
  png=$results/window.png
  framebuffer= xvfb= view=
  rm -f "$png"
  if [ -n "${LAB:-}" ] || { [ -z "${DISPLAY:-}" ] && [ -z "${WAYLAND_DISPLAY:-}" ]; }; then
    xdir=$(mktemp -d)
    Xvfb -displayfd 3 -screen 0 1280x960x24 -fbdir "$xdir" -nolisten tcp 3>"$xdir/number" \
      2>"$xdir/log" &
    xvfb=$!
    while [ ! -s "$xdir/number" ]; do
      kill -0 $xvfb 2>/dev/null || { cat "$xdir/log"; say "Xvfb does not start"; exit 1; }
      sleep 0.1
    done
    DISPLAY=:$(cat "$xdir/number")
    GDK_BACKEND=x11 GSK_RENDERER=cairo
    export DISPLAY GDK_BACKEND GSK_RENDERER
    framebuffer=$xdir/Xvfb_screen0
  fi
  if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
  fi
  . "$out/devenv.sh"    # the built program, uninstalled
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  define_machine
  alcove start try || { say "the machine does not start"; exit 1; }
  alcove view try >"$results/window.log" 2>&1 &
  view=$!

  # Wait for what the guest says, then for its picture; the emulated outer machine is slow.
  limit=$(($(date +%s) + ${ALCOVE_TRY_TIMEOUT:-700}))
  step=userspace
  while :; do
    case $step in
      userspace) grep -aq 'ALCOVE-GUEST: userspace reached' "$serial" 2>/dev/null && {
          say "the guest reached its user space"
          step=drew
          continue
        } ;;
      drew) grep -aq 'ALCOVE-GUEST: drew band' "$serial" && { step=seen; continue; } ;;
      seen) if picture && python3 tests/images/picture.py band "$png"; then
          say "the guest drew, and the window shows it"
          break
        fi ;;
    esac
    if [ "$(date +%s)" -ge $limit ]; then
      picture || true
      say "no sign of the guest in time (waiting for: $step)"
      report
      exit 1
    fi
    kill -0 $view 2>/dev/null || {
      cat "$results/window.log"
      say "the window closed before the guest was there"
      report
      exit 1
    }
    sleep 1
  done
  report
  if [ -t 0 ] && [ -z "$xvfb" ]; then
    say "the guest is yours; close its window, or end it with: poweroff -f"
    wait $view || true
  fi
  exit 0
}

report () {
  [ -n "${LAB:-}" ] || {
    echo "window: $png"
    echo "serial: $serial"
  }
}

finish () {
  status=$?
  trap - EXIT
  alcove stop --force try >/dev/null 2>&1 || true
  [ -z "$view" ] || kill "$view" 2>/dev/null || true
  [ -z "$xvfb" ] || kill "$xvfb" 2>/dev/null || true
  exit $status
}

if [ -n "${LAB:-}" ] && [ "${1:-}" = --inside ]; then
  show
fi

prepare
if fact=$(tests/lab/lab --probe); then
  show
fi
say "stock kernels do not run here: $fact; so this happens in the emulated lab"
sh data/packages/install.sh lab
status=0
tests/lab/lab --timeout $((${ALCOVE_TRY_TIMEOUT:-700} + 80)) --out "$out" -- sh app/try.sh --inside ||
  status=$?
echo "window: $out/window.png"
echo "serial: $out/serial.log"
exit $status
