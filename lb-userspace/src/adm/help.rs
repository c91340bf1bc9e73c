//! What `-h` prints: the grammar, told in words of its own.

use std::fmt::Write as _;

use super::print::VERSION;

/// The command forms.
const USAGE: [&str; 13] = [
    "-A|E virtual-service [-s scheduler] [-p [timeout]] [-M netmask] [--pe persistence_engine] [-b sched-flags]",
    "-D virtual-service",
    "-C",
    "-R",
    "-S [-n]",
    "-a|e virtual-service -r server-address [options]",
    "-d virtual-service -r server-address",
    "-L|l [virtual-service] [options]",
    "-Z [virtual-service]",
    "--set tcp tcpfin udp",
    "--start-daemon {master|backup} [daemon-options]",
    "--stop-daemon {master|backup}",
    "-h",
];

/// Long form, short form with the value, and what it is for; a title where the long form is empty.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("", "Commands", ""),
    ("--add-service", "-A", "make a virtual service"),
    ("--edit-service", "-E", "change a virtual service; what is not named gets its default"),
    ("--delete-service", "-D", "remove a virtual service and its servers"),
    ("--clear", "-C", "remove everything"),
    ("--restore", "-R", "run the commands on standard input, one on each line"),
    ("--save", "-S", "print the commands that make the present table"),
    ("--add-server", "-a", "give a service another real server"),
    ("--edit-server", "-e", "change a real server"),
    ("--delete-server", "-d", "take a real server from its service"),
    ("--list", "-L|-l", "print the table"),
    ("--zero", "-Z", "set the counters of one or all services to 0"),
    ("--set", "tcp tcpfin udp", "timeouts in seconds; 0 leaves one as it is"),
    ("--start-daemon", "master|backup", "start synchronising connections"),
    ("--stop-daemon", "master|backup", "stop that"),
    ("--help", "-h", "print this"),
    ("--version", "-v", "print the version"),
    ("", "Virtual services", ""),
    ("--tcp-service", "-t host[:port]", "TCP to an address"),
    ("--udp-service", "-u host[:port]", "UDP to an address"),
    ("--sctp-service", "host[:port]", "SCTP to an address"),
    ("--fwmark-service", "-f number", "packets with a firewall mark"),
    ("--ipv6", "-6", "of IPv6, behind -f"),
    ("", "Options of services", ""),
    ("--scheduler", "-s name", "rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh twos; wlc if none is named"),
    ("--sched-flags", "-b flag,flag", "sh-fallback sh-port mh-fallback mh-port flag-1 flag-2 flag-3"),
    ("--persistent", "-p [seconds]", "clients stay with their server; for 360 s if not told"),
    ("--netmask", "-M mask", "who is one client to that: an IPv4 mask or the length of an IPv6 prefix"),
    ("--pe", "engine", "persistence engine: sip"),
    ("--ops", "-o", "schedule each UDP packet by itself"),
    ("", "Options of real servers", ""),
    ("--real-server", "-r host[:port]", "which"),
    ("--gatewaying", "-g", "direct routing; so it is if nothing is said"),
    ("--ipip", "-i", "a tunnel"),
    ("--masquerading", "-m", "address translation"),
    ("--weight", "-w number", "share of new connections; 1 if not told"),
    ("--u-threshold", "-x number", "no new connections at so many; 0 for no limit"),
    ("--l-threshold", "-y number", "new ones again below so many"),
    ("--tun-type", "ipip|gue|gre", "the tunnel; ipip if not told"),
    ("--tun-port", "port", "UDP port of a gue tunnel"),
    ("--tun-nocsum", "", "no checksum in the outer header"),
    ("--tun-csum", "", "a checksum in the outer header"),
    ("--tun-remcsum", "", "a checksum that the other end computes"),
    ("", "Options of listings", ""),
    ("--numeric", "-n", "no names of hosts and ports"),
    ("--connection", "-c", "the connections"),
    ("--timeout", "", "the timeouts"),
    ("--daemon", "", "the synchronisation daemons"),
    ("--stats", "", "counters"),
    ("--rate", "", "counters per second"),
    ("--exact", "-X", "numbers in full"),
    ("--thresholds", "", "limits of connections"),
    ("--persistent-conn", "", "how many clients stay with their server"),
    ("--tun-info", "", "tunnels"),
    ("--nosort", "", "in the order of the table"),
    ("--sort", "", "nothing: it is the default"),
    ("", "Options of daemons", ""),
    ("--syncid", "number", "whose messages count, 0 to 255"),
    ("--sync-maxlen", "bytes", "the longest message"),
    ("--mcast-interface", "name", "the interface; eth0 if not told"),
    ("--mcast-group", "address", "the group; 224.0.0.81 if not told"),
    ("--mcast-port", "port", "the UDP port; 8848 if not told"),
    ("--mcast-ttl", "number", "the TTL; 1 if not told"),
];

/// The whole page.
pub(super) fn help(program: &str) -> String {
    let mut text = format!("{VERSION}\nUsage:\n");
    for form in USAGE {
        let _infallible = writeln!(text, "  {program} {form}");
    }
    for (long, short, purpose) in OPTIONS {
        let _infallible = if long.is_empty() {
            writeln!(text, "\n{short}:")
        } else {
            writeln!(text, "  {long:<17} {short:<15} {purpose}")
        };
    }
    text
}
