#!/bin/sh
# The guest's second half, on the host's own files: what programs expect of a system, then the command.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
export OUT=/run/guest/out
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts devpts /dev/pts
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
hostname guest
ip link set lo up
# What is not loaded on demand; the schedulers, veth, nf_tables and the like are.
# Otherwise IPVS has 4096 buckets, with a hundred connections in each where a measurement opens half a million.
modprobe ip_vs conn_tab_bits=20
# And connection tracking has room for 65536, by the memory that a guest has.
modprobe nf_conntrack hashsize=262144
echo 1048576 >/proc/sys/net/netfilter/nf_conntrack_max
modprobe pktgen

# The drivers of network cards: nobody else loads what the machine has.
for card in $(grep -ls '^0x02' /sys/bus/pci/devices/*/class); do
    modprobe -q "$(cat "${card%/*}/modalias")"
done
for card in $(grep -ls '^virtio:d00000001v' /sys/bus/virtio/devices/*/modalias); do
    modprobe -q "$(cat "$card")"
done

# A busy process that comes before others would keep the kernel from what it put off, and packets would be lost.
grep -ls '^ksoftirqd' /proc/[0-9]*/comm | cut -d/ -f3 | while read -r thread; do
    chrt --fifo --pid 1 "$thread"
done

# The first port is the host's terminal, the second a file that holds the status.
terminal=$(echo /dev/vport*p1)
port=$(echo /dev/vport*p2)
sh /run/guest/command.sh </dev/null >"$terminal" 2>&1
echo $? >"$port"
exec /run/guest/busybox poweroff -f
