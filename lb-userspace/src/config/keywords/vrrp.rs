//! The keywords of the VRRP blocks.

use super::{BlockKind, Keyword, any, block, lines, one, some};

/// `vrrp_script`.
pub(super) const SCRIPT: &[Keyword] = &[
    some("script"),
    some("weight"),
    some("user"),
    one("interval"),
    one("timeout"),
    one("rise"),
    one("fall"),
    any("init_fail"),
];

/// `authentication`.
pub(super) const AUTHENTICATION: &[Keyword] =
    &[one("auth_type"), one("auth_pass").now(), one("auth_hmac").now()];

/// What `vrrp_instance` and `vrrp_sync_group` share.
pub(super) const NOTIFY_AND_TRACK: &[Keyword] = &[
    lines("track_interface"),
    lines("track_script"),
    lines("track_file"),
    lines("track_process"),
    lines("track_bfd"),
    some("notify_master"),
    some("notify_backup"),
    some("notify_fault"),
    some("notify_stop"),
    some("notify"),
    any("notify_priority_changes"),
    any("smtp_alert"),
];

/// `vrrp_sync_group`.
pub(super) const SYNC_GROUP: &[Keyword] =
    &[lines("group"), any("global_tracking"), any("sync_group_tracking_weight")];

/// `vrrp_instance`.
pub(super) const INSTANCE: &[Keyword] = &[
    one("interface").now(),
    one("virtual_router_id").now(),
    lines("virtual_ipaddress").now(),
    lines("virtual_ipaddress_excluded").now(),
    block("authentication", BlockKind::Authentication),
    lines("unicast_peer"),
    lines("virtual_routes"),
    lines("virtual_rules"),
    one("state"),
    one("priority"),
    one("advert_int"),
    one("unicast_src_ip"),
    one("mcast_src_ip"),
    one("mcast_dst_ip"),
    one("version"),
    one("vrf"),
    one("preempt_delay"),
    one("unicast_ttl"),
    one("down_timer_adverts"),
    one("garp_master_delay"),
    one("garp_master_repeat"),
    one("garp_lower_prio_delay"),
    one("garp_lower_prio_repeat"),
    one("garp_master_refresh"),
    one("garp_master_refresh_repeat"),
    one("kernel_rx_buf_size"),
    one("lvs_sync_daemon_interface"),
    any("use_vmac"),
    any("use_vmac_addr"),
    any("vmac_xmit_base"),
    any("use_ipvlan"),
    any("native_ipv6"),
    any("dont_track_primary"),
    any("track_src_ip"),
    any("check_unicast_src"),
    any("unicast_fault_no_peer"),
    any("old_unicast_checksum"),
    any("v3_checksum_as_v2"),
    any("garp_extra_if"),
    any("lower_prio_no_advert"),
    any("higher_prio_send_advert"),
    any("promote_secondaries"),
    any("accept"),
    any("no_accept"),
    any("nopreempt"),
    any("preempt"),
    any("skip_check_adv_addr"),
    any("strict_mode"),
    some("debug"),
    any("notify_deleted"),
    some("notify_master_rx_lower_pri"),
    any("linkbeat_use_polling"),
];
