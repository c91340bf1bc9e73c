use super::*;
use crate::config::testing::{bare_instance, instance, only, said, says, vrrp_instance};

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn adverts_go_to_the_group_of_the_family() {
    let group = |text: &str| Transport::Multicast { group: text.parse().unwrap() };
    assert_eq!(vrrp_instance("").transport, group("224.0.0.18"));
    assert_eq!(vrrp_instance("mcast_dst_ip 224.0.0.99").transport, group("224.0.0.99"));
    let six = |inner: &str| only(&bare_instance(&format!("{inner}\n virtual_ipaddress {{\n fe80::1\n }}")));
    assert_eq!(six("").transport, group("ff02::12"));
    assert_eq!(six("mcast_dst_ip ff02::99").transport, group("ff02::99"));
    says(&instance("mcast_dst_ip ff02::99"), "t:4:2: warning: the group ff02::99 is not of the family");
    says(&instance("mcast_dst_ip 10.0.0.9"), "t:4:15: error: `10.0.0.9` is not a multicast address");
    says(
        &instance("mcast_dst_ip ff05::9"),
        "t:4:15: error: `ff05::9` is not a multicast address of one link",
    );
}

#[test]
fn adverts_go_to_named_peers() {
    let text = instance(
        "unicast_src_ip 10.0.0.2\n unicast_ttl 7\n check_unicast_src\n track_src_ip\n \
         unicast_peer {\n 10.0.0.3\n 10.0.0.4 10.0.0.5\n }",
    );
    assert_eq!(said(&text), Vec::<String>::new());
    let read = only(&text);
    let peers = addresses(&["10.0.0.3", "10.0.0.4", "10.0.0.5"]);
    assert_eq!(read.transport, Transport::Unicast { peers, ttl: 7, only_peers: true });
    assert_eq!((read.source, read.track_source), (Some("10.0.0.2".parse().unwrap()), true));
}

#[test]
fn a_peer_with_a_ttl_is_checked() {
    let text = instance("unicast_peer {\n 10.0.0.3 min_ttl 254\n }");
    says(&text, "t:5:11: warning: `min_ttl` is not yet in effect");
    let peers = addresses(&["10.0.0.3"]);
    assert_eq!(only(&text).transport, Transport::Unicast { peers, ttl: 255, only_peers: true });
    says(&instance("unicast_peer {\n 10.0.0.3\n max_ttl\n }"), "t:6:2: error: `max_ttl` has no value");
}

#[test]
fn peers_that_cannot_be_are_ignored() {
    let with =
        |line: &str| instance(&format!("unicast_src_ip 10.0.0.2\n unicast_peer {{\n 10.0.0.3\n {line}\n }}"));
    says(&with("10.0.0.2"), "t:7:2: warning: the peer 10.0.0.2 is this router itself");
    says(&with("fd00::3"), "t:7:2: warning: the peer fd00::3 is not of the family");
    says(&with("10.0.0.3"), "t:7:2: warning: `10.0.0.3` is a peer already");
    says(&with("10.0.0.4/24"), "t:7:2: warning: the prefix behind 10.0.0.4 means nothing here");
    says(
        &instance("unicast_src_ip 10.0.0.2\n unicast_peer {\n 10.0.0.2\n fd00::3\n }"),
        "t:7:2: error: the vrrp_instance VI_1 is IPv4 and no peer is: fd00::3 would not hear it",
    );
    for alone in ["unicast_ttl 9", "check_unicast_src no", "old_unicast_checksum"] {
        says(
            &instance(alone),
            "t:4:2: warning: the vrrp_instance VI_1 has no peer: its adverts go to the multicast group",
        );
    }
    let wrong = instance("unicast_peer {\n x\n }");
    says(&wrong, "t:5:2: error: `x` is not an IPv4 or IPv6 address");
    says(&with("x"), "t:7:2: error: `x` is not an IPv4 or IPv6 address");
    says(
        &with("10.0.0.4").replace("unicast_src_ip", "mcast_dst_ip 224.0.0.9\n unicast_src_ip"),
        "t:4:2: warning: `mcast_dst_ip` has no effect beside `unicast_peer`",
    );
}

#[test]
fn unicast_without_peers_is_said() {
    let text = instance("unicast_src_ip 10.0.0.2");
    says(&text, "t:4:2: warning: the vrrp_instance VI_1 has no peer: its adverts go to the multicast group");
    assert!(matches!(only(&text).transport, Transport::Multicast { .. }));
    let text = instance("unicast_src_ip 10.0.0.2\n unicast_fault_no_peer");
    says(&text, "t:5:2: warning: the vrrp_instance VI_1 has no peer: it does not run");
    assert_eq!(only(&text).interface, None);
}

#[test]
fn a_source_is_of_the_family() {
    assert_eq!(vrrp_instance("mcast_src_ip 10.0.0.2").source, Some("10.0.0.2".parse().unwrap()));
    let text = instance("mcast_src_ip fd00::2");
    says(&text, "t:4:15: warning: the source address fd00::2 is not of the family");
    assert_eq!(only(&text).source, None);
    says(&instance("track_src_ip"), "t:4:2: warning: `track_src_ip` has no effect without a source address");
}

#[test]
fn a_virtual_mac_has_an_interface() {
    let vmac = |name: &str, xmit_base| Some(Vmac { name: name.to_owned(), xmit_base });
    assert_eq!(vrrp_instance("").vmac, None);
    assert_eq!(vrrp_instance("use_vmac").vmac, vmac("vrrp.51", false));
    assert_eq!(vrrp_instance("use_vmac v0\n vmac_xmit_base").vmac, vmac("v0", true));
    let six = only(&bare_instance("use_vmac\n virtual_ipaddress {\n fe80::1\n }"));
    assert_eq!(six.vmac, vmac("vrrp6.51", false));
    says(&instance("vmac_xmit_base"), "t:4:2: warning: `vmac_xmit_base` has no effect without `use_vmac`");
    let text = instance("use_vmac\n unicast_peer {\n 10.0.0.3\n }");
    says(&text, "t:4:2: warning: unicast with `use_vmac` needs `vmac_xmit_base`");
    assert_eq!(only(&text).vmac, vmac("vrrp.51", true));
    says(
        &instance("use_vmac v0 00:00:5e:00:01:09"),
        "t:4:14: warning: another MAC address than that of the virtual router is not yet in effect",
    );
}

#[test]
fn the_checksum_may_be_the_old_one() {
    assert_eq!(vrrp_instance("version 3").checksum, Checksum::WithPseudoHeader);
    assert_eq!(vrrp_instance("version 3\n v3_checksum_as_v2").checksum, Checksum::MessageOnly);
    let unicast = "version 3\n old_unicast_checksum\n unicast_peer {\n 10.0.0.9\n }";
    assert_eq!(vrrp_instance(unicast).checksum, Checksum::OldUnicast);
    assert_eq!(vrrp_instance("version 3\n old_unicast_checksum").checksum, Checksum::WithPseudoHeader);
}
