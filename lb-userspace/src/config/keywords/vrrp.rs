//! The keywords of the VRRP blocks.

use super::{BlockKind, Body, Keyword, any, block, flag, lines, maybe, one, some};

/// `vrrp_script`.
#[rustfmt::skip]
pub(super) const SCRIPT: &[Keyword] = &[
    Keyword::new("script", 0, usize::MAX, Body::MaybeLines).command().now().takes("COMMAND").means("What is run, without a shell unless it begins with `</`, which asks whether a file or behind `/dev/tcp` a port can be opened; exit code 0 is a success."),
    Keyword::new("weight", 1, 2, Body::None).now().takes("N [reverse]").is("0").means("Added to the priority while it succeeds, or taken off while it fails; 0: fault, from -253 to 253."),
    Keyword::new("user", 1, 2, Body::None).now().takes("USER [GROUP]").or("`script_user`").means("Who runs it."),
    one("interval").now().seconds("0.001", "86400").is("1").means("From one start to the next."),
    one("timeout").now().seconds("0", "86400").beside("interval").means("A run that takes longer is ended and counts as failed; 0 becomes 1, which is said."),
    one("rise").now().number(1, 4_294_967_295).is("1").means("Successes in a row that bring it up."),
    one("fall").now().number(1, 4_294_967_295).is("1").means("Failures in a row that take it down."),
    maybe("init_fail").now().switch().means("It is down until its first result."),
];

/// `authentication`.
#[rustfmt::skip]
pub(super) const AUTHENTICATION: &[Keyword] = &[
    one("auth_type").now().takes("PASS or AH").means("A password in clear, or an authentication header."),
    one("auth_pass").now().takes("WORD").means("The secret; what is behind eight bytes is cut off."),
];

/// What `vrrp_instance` and `vrrp_sync_group` share.
#[rustfmt::skip]
pub(super) const NOTIFY_AND_TRACK: &[Keyword] = &[
    lines("track_interface").now().takes("{ INTERFACE [weight N] [reverse] ... }").means("Interfaces that must be up."),
    lines("track_script").now().takes("{ NAME [weight N] [reverse] ... }").means("Scripts that must succeed."),
    lines("track_file").now().takes("{ NAME [weight N] [reverse] ... }").means("Files whose number moves the priority."),
    lines("track_process").now().takes("{ NAME [weight N] [reverse] ... }").means("Processes that must run."),
    lines("track_bfd").later().takes("{ NAME ... }").means("BFD sessions that must be up."),
    some("notify_master").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when it becomes master."),
    some("notify_backup").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when it becomes backup."),
    some("notify_fault").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when it falls into fault."),
    some("notify_stop").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when the director stops."),
    some("notify").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run on every change with kind, name, state and priority behind it."),
    maybe("notify_priority_changes").now().switch().global("vrrp_notify_priority_changes").means("A change of priority alone is notified too."),
    maybe("smtp_alert").now().switch().or("what `smtp_alert_vrrp` or `smtp_alert` say, or no").means("Mail on every change."),
    any("notify_deleted").command().first().later().takes("COMMAND [USER [GROUP]]").means("Run when a reload takes it away."),
];

/// `vrrp_sync_group`.
#[rustfmt::skip]
pub(super) const SYNC_GROUP: &[Keyword] = &[
    lines("group").now().takes("{ INSTANCE ... }").means("The instances."),
    maybe("global_tracking").now().means("All track what one tracks.").differs("no effect, which is said: what the group tracks counts for all"),
    maybe("sync_group_tracking_weight").now().switch().means("Trackers of the instances may have weights."),
];

/// `vrrp_instance`.
#[rustfmt::skip]
pub(super) const INSTANCE: &[Keyword] = &[
    one("interface").now().takes("INTERFACE").global("default_interface").means("The interface it runs on.").differs("multicast instances must have one of their own"),
    one("virtual_router_id").now().number(1, 255).means("The number of the virtual router, the same on all directors; it must be there."),
    lines("virtual_ipaddress").now().takes("{ ADDRESS[/LENGTH] [dev IF] [label NAME] [scope S] [brd ADDRESS] ... }").means("The addresses that the master holds and announces."),
    lines("virtual_ipaddress_excluded").now().takes("{ ADDRESS[/LENGTH] ... }").means("Addresses that the master holds and that are not in its adverts."),
    flag("no_virtual_ipaddress").now().means("That there is no address is meant."),
    block("authentication", BlockKind::Authentication).now().means("How adverts of version 2 are authenticated."),
    Keyword::new("auth_hmac", 0, usize::MAX, Body::MaybeLines).later().takes("{ ... }").means("How adverts of version 3 are authenticated."),
    lines("unicast_peer").now().takes("{ ADDRESS ... }").means("The other directors, where adverts are not multicast."),
    lines("virtual_routes").now().takes("{ ROUTE ... }").means("Routes, in the words of ip-route(8), that are there while it is master."),
    lines("virtual_rules").now().takes("{ RULE ... }").means("Rules, in the words of ip-rule(8), that are there while it is master."),
    one("state").keeps("MASTER").now().takes("MASTER or BACKUP").is("BACKUP").means("MASTER cancels `nopreempt` and `preempt_delay`; the priority decides who is master."),
    one("priority").now().number(1, 255).is("100").means("The highest is master; 255 owns the addresses, as does `state MASTER` without a priority."),
    one("advert_int").now().seconds("0.01", "255").is("1").means("Time between adverts: whole seconds in version 2, up to 40.95 in version 3."),
    one("unicast_src_ip").now().takes("ADDRESS").alias("mcast_src_ip").or("the interface's first address").means("Where adverts to peers come from."),
    one("mcast_src_ip").now().takes("ADDRESS").or("the interface's first address").means("Where adverts to the group come from."),
    one("mcast_dst_ip").now().takes("ADDRESS").is("224.0.0.18").global("vrrp_mcast_group4").means("The group that adverts go to; over IPv6 that of `vrrp_mcast_group6` where it is not written."),
    one("version").first().now().takes("2 or 3").is("2").global("vrrp_version").means("The version of VRRP; over IPv6 always 3."),
    one("vrf").later().takes("NAME").means("The VRF it is in."),
    one("preempt_delay").now().seconds("0", "1000").is("0").means("How long it waits before it takes over from a lower priority."),
    one("unicast_ttl").now().number(0, 255).is("255").means("Time to live of adverts to peers."),
    one("down_timer_adverts").now().number(1, 100).is("3").global("vrrp_down_timer_adverts").means("How many missing adverts make a master down."),
    one("garp_master_delay").now().seconds("0", "86400").is("5").global("vrrp_garp_master_delay").means("From becoming master to the second burst of gratuitous ARPs."),
    one("garp_master_repeat").now().number(1, 1000).is("5").global("vrrp_garp_master_repeat").means("Messages for each address in a burst."),
    one("garp_lower_prio_delay").now().seconds("0", "86400").is("5").global("vrrp_garp_lower_prio_delay").means("From the burst after a lower priority was heard to its repetition."),
    one("garp_lower_prio_repeat").now().number(0, 1000).is("5").global("vrrp_garp_lower_prio_repeat").means("Messages for each address after a lower priority was heard."),
    one("garp_master_refresh").now().seconds("0", "86400").is("0").global("vrrp_garp_master_refresh").means("Time between later bursts; 0 for none."),
    one("garp_master_refresh_repeat").now().number(1, 1000).is("1").global("vrrp_garp_master_refresh_repeat").means("Messages for each address in later bursts."),
    one("kernel_rx_buf_size").takes("BYTES").means("The size of the receive buffer."),
    one("lvs_sync_daemon_interface").first().later().takes("INTERFACE").means("Connections are told to the other director over it."),
    any("use_vmac").now().takes("[NAME]").or("none").means("The addresses are on an interface with the virtual router's MAC address, named `vrrp.ID` unless it says otherwise.").differs("another MAC address is not yet in effect"),
    any("use_vmac_addr").later().takes("[NAME]").means("Addresses on other interfaces have such interfaces too."),
    maybe("vmac_xmit_base").now().switch().means("Adverts leave through the interface below."),
    any("use_ipvlan").later().takes("[NAME] [ADDRESS]").means("The addresses are on an ipvlan interface."),
    maybe("native_ipv6").now().switch().means("Adverts go over IPv6 whatever the addresses are."),
    maybe("dont_track_primary").now().switch().means("Its own interface may go down without a fault."),
    maybe("track_src_ip").now().switch().means("Without its source address on this host it is in fault."),
    maybe("check_unicast_src").now().switch().global("vrrp_check_unicast_src").means("Adverts of others than the peers are refused."),
    maybe("unicast_fault_no_peer").now().switch().means("Without a peer it does not run."),
    maybe("old_unicast_checksum").now().takes("[never]").means("Checksums of version 3 to peers are those of old versions of keepalived."),
    maybe("v3_checksum_as_v2").now().switch().global("v3_checksum_as_v2").means("Checksums of version 3 over IPv4 leave the addresses out."),
    any("garp_extra_if").later().takes("[all|INTERFACE]").means("Gratuitous ARPs on interfaces above its own."),
    maybe("lower_prio_no_advert").now().switch().global("vrrp_lower_prio_no_advert").means("A master does not answer a lower priority at once."),
    maybe("higher_prio_send_advert").now().switch().global("vrrp_higher_prio_send_advert").means("A master that gives way sends one more advert."),
    any("promote_secondaries").later().means("The kernel keeps secondary addresses when the first goes."),
    flag("accept").now().means("This host answers at the addresses, which is so except in strict mode."),
    flag("no_accept").now().alias("accept").means("This host refuses packets to addresses that it does not own."),
    flag("nopreempt").now().alias("preempt").means("It does not take over from a lower priority."),
    flag("preempt").now().means("It takes over from a lower priority, which is so unless it says otherwise."),
    maybe("skip_check_adv_addr").now().switch().global("vrrp_skip_check_adv_addr").means("The addresses in adverts of the same master are compared once only."),
    maybe("strict_mode").now().switch().global("vrrp_strict").means("The protocol to the letter: nothing that the RFC does not have."),
    any("debug").takes("[N]").means("Logs more.").differs("`--log debug` does"),
    any("timer_expired_backup").means("An old word that means nothing any more."),
    some("notify_master_rx_lower_pri").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when a master hears a lower priority."),
    any("linkbeat_use_polling").means("The carrier is polled.").differs("the kernel's events are enough"),
];
