#!/bin/sh
# Sends UDP datagrams with the kernel's own generator, pktgen. docs/pktgen.md tells how to measure with it.
set -eu

usage() {
    cat <<'END'
usage: pktgen.sh --interface IF --mac MAC --destination ADDRESS [OPTION...]

Sends UDP datagrams over IPv4 as fast as the kernel can, and says how many and how fast. Needs root.

  --interface IF           where they leave
  --mac MAC                to whom: the director's interface, or its virtual router if it has a MAC address of its own
  --destination ADDRESS    the virtual address
  --port PORT              the virtual port [80]
  --sources FIRST-LAST     addresses that they come from, both among them, in random order [198.18.0.1-198.18.255.254]
  --source-ports FIRST-LAST  the same of ports [1024-1024]
  --size BYTES             of a frame, without its check sequence [60]
  --count N                how many in all, at least one for each CPU [1000000]
  --seconds N              for how long, instead of --count
  --threads N              CPUs that send, each into a queue of its own [1]
  --first-cpu N            the first of them [0]
  --rate N                 at most so many in a second, in all, at least one for each CPU
  --burst N                so many of one flow at once [1]; faster on hardware, refused by veth
  --help                   this text
END
}

fail() {
    echo "pktgen.sh: $1" >&2
    exit 1
}

wrong() {
    echo "pktgen.sh: $1 (see --help)" >&2
    exit 2
}

# number NAME VALUE LEAST MOST
number() {
    case $2 in
    '' | *[!0-9]* | 0?* | ??????????*) wrong "$1 is a number from $3 to $4, not '$2'" ;;
    esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        wrong "$1 is a number from $3 to $4, not $2"
    fi
}

# address NAME VALUE: prints it as a number
address() {
    echo "$2" | awk -F. -v name="$1" '
        NF == 4 { for (i = 1; i <= 4; i++) { if ($i !~ /^(0|[1-9][0-9]*)$/ || $i > 255) exit 1; sum = sum * 256 + $i }; printf "%.0f\n", sum; good = 1 }
        END { exit !good }' || wrong "$1 is an IPv4 address, not '$2'"
}

interface='' mac='' destination='' port=80
sources=198.18.0.1-198.18.255.254 source_ports=1024-1024
size=60 count='' seconds='' threads=1 first_cpu=0 rate=0 burst=1

while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --*) [ $# -ge 2 ] || wrong "$1 needs a value" ;;
    esac
    case $1 in
    --interface) interface=$2 ;;
    --mac) mac=$2 ;;
    --destination) destination=$2 ;;
    --port) port=$2 ;;
    --sources) sources=$2 ;;
    --source-ports) source_ports=$2 ;;
    --size) size=$2 ;;
    --count) count=$2 ;;
    --seconds) seconds=$2 ;;
    --threads) threads=$2 ;;
    --first-cpu) first_cpu=$2 ;;
    --rate) rate=$2 ;;
    --burst) burst=$2 ;;
    *) wrong "what is '$1'?" ;;
    esac
    shift 2
done

[ -n "$interface" ] || wrong "--interface is missing"
echo "$mac" | grep -Eqi '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' || wrong "--mac is a MAC address, not '$mac'"
address --destination "$destination" >/dev/null
first=${sources%%-*} last=${sources##*-}
low=$(address --sources "$first")
high=$(address --sources "$last")
[ "$low" -le "$high" ] || wrong "--sources $sources: the first is behind the last"
[ "$high" -lt 4294967295 ] || wrong "--sources $sources: the last is no address of a host"
addresses=$((high - low + 1))
first_port=${source_ports%%-*} last_port=${source_ports##*-}
number --port "$port" 1 65535
number --source-ports "$first_port" 1 65535
number --source-ports "$last_port" "$first_port" 65535
ports=$((last_port - first_port + 1))
[ "$ports" -eq 1 ] || [ "$last_port" -lt 65535 ] || wrong "--source-ports $source_ports: pktgen has 65535 alone or not at all"
number --size "$size" 60 9014
number --threads "$threads" 1 1024
[ -z "$count" ] || [ -z "$seconds" ] || wrong "either --count or --seconds"
if [ -n "$seconds" ]; then
    number --seconds "$seconds" 1 86400
    count=0 # which pktgen takes for no end
else
    seconds=0 count=${count:-1000000}
    number --count "$count" "$threads" 999999999
fi
number --first-cpu "$first_cpu" 0 1023
[ "$rate" = 0 ] || number --rate "$rate" "$threads" 999999999
number --burst "$burst" 1 1024

[ "$(id -u)" = 0 ] || fail "pktgen needs root"
ip -o link show dev "$interface" >/dev/null 2>&1 || fail "there is no interface $interface here"
ip -o link show dev "$interface" | grep -q '[<,]UP[,>]' || fail "$interface is down: ip link set $interface up"

pktgen=/proc/net/pktgen loaded=''
if [ ! -d "$pktgen" ]; then
    modprobe pktgen 2>/dev/null || fail "this kernel has no pktgen (CONFIG_NET_PKTGEN)"
    loaded=yes
fi

# put FILE COMMAND
put() {
    if ! (echo "$2" >"$pktgen/$1") 2>/dev/null || ! grep -q '^Result: OK' "$pktgen/$1"; then
        fail "pktgen refuses '$2' for $1: $(grep '^Result:' "$pktgen/$1" || echo 'no such thing')"
    fi
}

# Everything of a CPU goes at once, and what another has begun would stop too.
if grep -Eqs '^(Running|Stopped): *[^ ]' "$pktgen"/kpktgend_*; then
    fail "somebody else uses pktgen: $(grep -El '^(Running|Stopped): *[^ ]' "$pktgen"/kpktgend_* | tr '\n' ' ')has devices"
fi

used='' sending='' sleeping=''
# Whatever happens, nothing of ours is sent any more, and pktgen is as it was.
tidy() {
    trap '' INT TERM
    trap - EXIT
    [ -z "$sleeping" ] || kill "$sleeping" 2>/dev/null || true
    if [ -n "$sending" ]; then
        echo stop >"$pktgen/pgctrl"
        wait "$sending" || true
    fi
    for cpu in $used; do
        echo rem_device_all >"$pktgen/kpktgend_$cpu"
    done
    if [ -n "$loaded" ]; then
        modprobe -r pktgen
    fi
}
trap tidy EXIT
trap 'trap "" INT TERM; exit 130' INT
trap 'trap "" INT TERM; exit 143' TERM

# share WHOLE: the part of the CPU; what remains of the division is that of the first ones.
share() {
    echo $(($1 / threads + (cpu - first_cpu < $1 % threads)))
}

# above ADDRESS: the next one. pktgen draws from the first to the one before the last, unless they are the same.
above() {
    echo $((($1 + 1) >> 24)).$(((($1 + 1) >> 16) & 255)).$(((($1 + 1) >> 8) & 255)).$((($1 + 1) & 255))
}
[ "$addresses" -eq 1 ] || last=$(above "$high")
[ "$ports" -eq 1 ] || last_port=$((last_port + 1))

devices=''
cpu=$first_cpu
while [ "$cpu" -lt $((first_cpu + threads)) ]; do
    [ -e "$pktgen/kpktgend_$cpu" ] || fail "there is no CPU $cpu for --threads $threads --first-cpu $first_cpu"
    device=$interface@$cpu
    used="$used $cpu"
    put "kpktgend_$cpu" "add_device $device"
    for line in "count $(share "$count")" "delay 0" "clone_skb 0" "burst $burst" "pkt_size $size" \
        "dst_mac $mac" "dst_min $destination" "dst_max $destination" "udp_dst_min $port" "udp_dst_max $port" \
        "src_min $first" "src_max $last" "udp_src_min $first_port" "udp_src_max $last_port" \
        "flag IPSRC_RND" "flag UDPSRC_RND" "flag NO_TIMESTAMP" "flag QUEUE_MAP_CPU"; do
        put "$device" "$line"
    done
    [ "$rate" -eq 0 ] || put "$device" "ratep $(share "$rate")"
    devices="$devices $device"
    cpu=$((cpu + 1))
done

echo "$interface to $destination port $port at $mac: $((addresses * ports)) flows, frames of $size bytes, $threads CPU(s)"

echo start >"$pktgen/pgctrl" &
sending=$!
if [ "$seconds" -gt 0 ]; then
    sleep "$seconds" &
    sleeping=$!
    wait "$sleeping"
    sleeping=''
    echo stop >"$pktgen/pgctrl"
fi
wait "$sending"
sending=''

for device in $devices; do
    awk -v device="$device" '
        /pkts-sofar:/ { sent = $2; errors = $4 }
        /^Result: OK:/ { split($3, time, "("); seconds = time[1] / 1e6 }
        END { print device, sent, errors, seconds }' "$pktgen/$device"
done | awk '
    { rate = $4 > 0 ? $2 / $4 : 0; total += $2; busy += $3; sum += rate
      printf "  %-12s %12.0f sent in %8.3f s, %10.0f packets/s, %.0f times busy\n", $1, $2, $4, rate, $3 }
    END { printf "  %-12s %12.0f sent                %10.0f packets/s, %.0f times busy\n", "all", total, sum, busy }'
