#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The test guest after its marker line. What to do comes, in this order, from /etc/run.sh (a test
# appends it to the initial RAM disk), or from alcove.run= on the kernel command line (up to the
# end of the line). Without either: a shell on the screen and on the serial line.

exec 2>&1
hostname guest
ip link set lo up

network () { # brings eth0 up by DHCP
  ip link set eth0 up && udhcpc -q -n -t 8 -T 2 -i eth0 -s /etc/udhcpc.sh
}

if [ -f /etc/run.sh ]; then
  . /etc/run.sh
  exit
fi
run=$(sed -n 's/.*alcove\.run=//p' /proc/cmdline)
if [ -n "$run" ]; then
  eval "$run"
  exit
fi

guest banner
for terminal in tty1 ttyS0; do
  [ -c /dev/$terminal ] || continue
  {
    echo
    echo "  Welcome to a Linux guest in Alcove: $(uname -sr), $(nproc) CPU(s)," \
      "$(($(sed -n 's/MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1024)) MiB."
    echo "  This is a busybox shell. Try: ip addr, cat /proc/partitions, top.  To end: poweroff -f"
    echo
  } >/dev/$terminal
done
echo "ALCOVE-GUEST: shell ready"
( while :; do setsid -c sh -l </dev/tty1 >/dev/tty1 2>&1; sleep 1; done ) &
while :; do setsid -c sh -l </dev/ttyS0 >/dev/ttyS0 2>&1; sleep 1; done
