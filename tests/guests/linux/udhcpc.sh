#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What busybox udhcpc does with an answer.
case $1 in
  deconfig) ip addr flush dev "$interface" ;;
  bound | renew)
    ip addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    [ -n "$router" ] && ip route add default via "${router%% *}" dev "$interface"
    : >/etc/resolv.conf
    for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
    echo "NETWORK $ip router $router dns $dns" ;;
esac
