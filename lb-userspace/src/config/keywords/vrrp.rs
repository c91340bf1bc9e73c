//! The keywords of the VRRP blocks.

use super::{BlockKind, Body, Keyword, any, block, flag, lines, maybe, one, some};

/// `vrrp_script`.
pub(super) const SCRIPT: &[Keyword] = &[
    Keyword::new("script", 0, usize::MAX, Body::MaybeLines).now(),
    Keyword::new("weight", 1, 2, Body::None).now(),
    Keyword::new("user", 1, 2, Body::None).now(),
    one("interval").now(),
    one("timeout").now(),
    one("rise").now(),
    one("fall").now(),
    maybe("init_fail").now(),
];

/// `authentication`.
pub(super) const AUTHENTICATION: &[Keyword] = &[one("auth_type").now(), one("auth_pass").now()];

/// What `vrrp_instance` and `vrrp_sync_group` share.
pub(super) const NOTIFY_AND_TRACK: &[Keyword] = &[
    lines("track_interface").now(),
    lines("track_script").now(),
    lines("track_file").now(),
    lines("track_process").now(),
    lines("track_bfd").later(),
    some("notify_master").now(),
    some("notify_backup").now(),
    some("notify_fault").now(),
    some("notify_stop").now(),
    some("notify").now(),
    maybe("notify_priority_changes").now(),
    maybe("smtp_alert").later(),
    any("notify_deleted").later(),
];

/// `vrrp_sync_group`.
pub(super) const SYNC_GROUP: &[Keyword] =
    &[lines("group").now(), maybe("global_tracking").now(), maybe("sync_group_tracking_weight").now()];

/// `vrrp_instance`.
pub(super) const INSTANCE: &[Keyword] = &[
    one("interface").now(),
    one("virtual_router_id").now(),
    lines("virtual_ipaddress").now(),
    lines("virtual_ipaddress_excluded").now(),
    flag("no_virtual_ipaddress").now(),
    block("authentication", BlockKind::Authentication).now(),
    Keyword::new("auth_hmac", 0, usize::MAX, Body::MaybeLines).later(),
    lines("unicast_peer").now(),
    lines("virtual_routes").now(),
    lines("virtual_rules").now(),
    one("state").now(),
    one("priority").now(),
    one("advert_int").now(),
    one("unicast_src_ip").now(),
    one("mcast_src_ip").now(),
    one("mcast_dst_ip").now(),
    one("version").now(),
    one("vrf").later(),
    one("preempt_delay").now(),
    one("unicast_ttl").now(),
    one("down_timer_adverts").now(),
    one("garp_master_delay").now(),
    one("garp_master_repeat").now(),
    one("garp_lower_prio_delay").now(),
    one("garp_lower_prio_repeat").now(),
    one("garp_master_refresh").now(),
    one("garp_master_refresh_repeat").now(),
    one("kernel_rx_buf_size"),
    one("lvs_sync_daemon_interface").later(),
    any("use_vmac").now(),
    any("use_vmac_addr").later(),
    maybe("vmac_xmit_base").now(),
    any("use_ipvlan").later(),
    maybe("native_ipv6").now(),
    maybe("dont_track_primary").now(),
    maybe("track_src_ip").now(),
    maybe("check_unicast_src").now(),
    maybe("unicast_fault_no_peer").now(),
    maybe("old_unicast_checksum").now(),
    maybe("v3_checksum_as_v2").now(),
    any("garp_extra_if").later(),
    maybe("lower_prio_no_advert").now(),
    maybe("higher_prio_send_advert").now(),
    any("promote_secondaries").later(),
    flag("accept").now(),
    flag("no_accept").now(),
    flag("nopreempt").now(),
    flag("preempt").now(),
    maybe("skip_check_adv_addr").now(),
    maybe("strict_mode").now(),
    any("debug"),
    any("timer_expired_backup"),
    some("notify_master_rx_lower_pri").now(),
    any("linkbeat_use_polling"),
];
