#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the guest: makes the host's files the root, to be written to without a trace, and goes on in it.
/bin/busybox --install -s /bin
give_up() {
    echo "guest: $1"
    poweroff -f
}

mkdir -p /proc /sys /dev /host /changes /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module" || give_up "cannot load $module"
done </modules/order
read -r modules </modules/directory

# What the host changes meanwhile of files that were read is not seen: the fastest way.
nine=trans=virtio,version=9p2000.L,access=any,msize=512000
mount -t 9p -o "$nine,ro,cache=loose" host /host || give_up "cannot mount the host's files"
mount -t tmpfs changes /changes
mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work overlay /root ||
    give_up "cannot lay changes over the host's files"

mount -t tmpfs run /root/run
mkdir -p /root/run/netns /root/run/lock /root/run/guest/out /root/lib/modules
mount -t 9p -o "$nine,rw" out /root/run/guest/out || give_up "cannot mount the directory of results"
mount --bind "/root$modules" /root/lib/modules
cp /bin/busybox /inside.sh /command.sh /root/run/guest/
for place in proc sys dev; do
    mount --move "/$place" "/root/$place"
done
exec switch_root /root /bin/sh /run/guest/inside.sh
