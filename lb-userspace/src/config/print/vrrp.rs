//! What VRRP has: what is tracked, instances, and groups of them.

use std::net::IpAddr;

use super::{Node, quote};
use crate::config::model::vrrp::{
    Announcing, Authentication, Broadcast, Checksum, Command, Family, InitialState, Notify, Overwrite,
    ParamMatch, RouteKind, SyncGroup, Track, TrackFile, TrackProcess, Tracks, Transport, VirtualAddress,
    VirtualRoute, VirtualRule, Vrrp, VrrpInstance, VrrpScript,
};

/// What the weight of a tracked file may be behind its name; where it is defined there is no limit.
const FILE_WEIGHT: i32 = 254;

pub(super) fn blocks(vrrp: &Vrrp) -> impl Iterator<Item = Node> {
    let scripts = vrrp.scripts.iter().map(script);
    let files = vrrp.files.iter().map(file);
    let processes = vrrp.processes.iter().map(process);
    let instances = vrrp.instances.iter().map(instance);
    scripts.chain(files).chain(processes).chain(instances).chain(vrrp.sync_groups.iter().map(group))
}

fn script(script: &VrrpScript) -> Node {
    let user = script.command.user.as_ref();
    let body = vec![
        Node::one("script", quote::line(&script.command.words)),
        user.map_or_else(|| Node::maybe("user", None::<String>), |user| Node::new("user", quote::user(user))),
        Node::seconds("interval", script.interval),
        Node::seconds("timeout", script.timeout),
        weight(script.weight, script.reverse),
        Node::one("rise", script.rise),
        Node::one("fall", script.fall),
        Node::switch("init_fail", script.init_fail),
    ];
    Node::one("vrrp_script", &script.name).at(script.span).with(body)
}

fn weight(weight: i32, reverse: bool) -> Node {
    let words = [Some(weight.to_string()), reverse.then(|| "reverse".to_owned())];
    Node::new("weight", words.into_iter().flatten())
}

fn file(file: &TrackFile) -> Node {
    let init = file.init.map(|(value, overwrite)| {
        let overwrite = matches!(overwrite, Overwrite::Yes).then(|| "overwrite".to_owned());
        Node::new("init_file", [value.to_string()].into_iter().chain(overwrite))
    });
    let body = vec![
        Node::one("file", file.path.to_string_lossy()),
        weight(file.weight, file.reverse),
        init.unwrap_or_else(|| Node::maybe("init_file", None::<String>)),
    ];
    Node::one("track_file", &file.name).at(file.span).with(body)
}

fn process(process: &TrackProcess) -> Node {
    let params = match process.params {
        ParamMatch::None => Node::maybe("param_match", None::<String>),
        ParamMatch::Exact => Node::flag("param_match"),
        ParamMatch::Partial => Node::one("param_match", "partial"),
        ParamMatch::Initial => Node::one("param_match", "initial"),
    };
    let body = vec![
        Node::new("process", &process.words),
        params,
        Node::maybe_flag("full_command", process.full_command),
        weight(process.weight, process.reverse),
        Node::one("quorum", process.quorum),
        Node::maybe("quorum_max", process.quorum_max),
        Node::seconds("fork_delay", process.fork_delay),
        Node::seconds("terminate_delay", process.terminate_delay),
    ];
    Node::one("vrrp_track_process", &process.name).at(process.span).with(body)
}

fn instance(instance: &VrrpInstance) -> Node {
    let mut body = vec![
        Node::maybe("interface", instance.interface.as_ref()),
        Node::one("virtual_router_id", instance.virtual_router_id),
        Node::one("version", instance.version as u8),
        Node::switch("native_ipv6", instance.family == Family::V6),
        Node::switch("strict_mode", instance.strict),
        Node::one(
            "state",
            match instance.state {
                InitialState::Master => "MASTER",
                InitialState::Backup => "BACKUP",
            },
        ),
        Node::one("priority", instance.priority),
        Node::seconds("advert_int", instance.advert_interval),
        Node::one("down_timer_adverts", instance.down_timer_adverts),
        Node::flag(if instance.preempt { "preempt" } else { "nopreempt" }),
        Node::seconds("preempt_delay", instance.preempt_delay),
    ];
    body.extend(instance.authentication.map(authentication));
    body.extend(transport(instance));
    match &instance.vmac {
        Some(vmac) => {
            body.push(Node::one("use_vmac", &vmac.name));
            body.push(Node::switch("vmac_xmit_base", vmac.xmit_base));
        }
        None => body.push(Node::maybe("use_vmac", None::<String>)),
    }
    body.push(Node::flag(if instance.accept { "accept" } else { "no_accept" }));
    body.push(Node::switch("skip_check_adv_addr", instance.skip_check_addresses));
    body.push(Node::switch("lower_prio_no_advert", instance.lower_prio_no_advert));
    body.push(Node::switch("higher_prio_send_advert", instance.higher_prio_send_advert));
    body.push(Node::switch("dont_track_primary", instance.dont_track_primary));
    body.extend(announcing(&instance.announcing));
    let owned = |list: &[VirtualAddress]| list.iter().map(address).collect();
    body.extend(Node::list("virtual_ipaddress", owned(&instance.virtual_addresses)));
    body.extend(Node::list("virtual_ipaddress_excluded", owned(&instance.excluded_addresses)));
    body.extend(Node::list("virtual_routes", instance.routes.iter().map(route).collect()));
    let rules = instance.rules.iter().map(|line| rule(line, instance.family));
    body.extend(Node::list("virtual_rules", rules.collect()));
    body.extend(tracks(&instance.tracks));
    body.extend(notify(&instance.notify));
    body.extend(command("notify_master_rx_lower_pri", instance.notify.lower_priority.as_ref()));
    body.push(Node::maybe_switch("smtp_alert", instance.smtp_alert));
    let node = Node::one("vrrp_instance", &instance.name).at(instance.span).with(body);
    node.remark(instance.interface.is_none(), "does not run")
}

fn authentication(authentication: Authentication) -> Node {
    let (kind, password) = match authentication {
        Authentication::Pass(password) => ("PASS", password),
        Authentication::Ah(password) => ("AH", password),
    };
    let body = vec![Node::one("auth_type", kind), Node::one("auth_pass", quote::password(password))];
    Node::flag("authentication").with(body)
}

fn transport(instance: &VrrpInstance) -> Vec<Node> {
    let mut nodes = Vec::new();
    match &instance.transport {
        Transport::Multicast { group } => {
            let heir_of = group.is_ipv6().then_some("vrrp_mcast_group6");
            nodes.push(Node { heir_of, ..Node::one("mcast_dst_ip", group) });
            nodes.push(Node::maybe("mcast_src_ip", instance.source));
            if instance.interface.is_none() {
                nodes.push(Node::switch("unicast_fault_no_peer", true));
            }
        }
        Transport::Unicast { peers, ttl, only_peers } => {
            nodes.extend(Node::list(
                "unicast_peer",
                peers.iter().map(|peer| Node::flag(peer.to_string())).collect(),
            ));
            nodes.push(Node::maybe("unicast_src_ip", instance.source));
            nodes.push(Node::one("unicast_ttl", ttl));
            nodes.push(Node::switch("check_unicast_src", *only_peers));
        }
    }
    nodes.push(Node::switch("track_src_ip", instance.track_source));
    nodes.push(match instance.checksum {
        Checksum::WithPseudoHeader => Node::switch("v3_checksum_as_v2", false),
        Checksum::MessageOnly => Node::switch("v3_checksum_as_v2", true),
        Checksum::OldUnicast => Node::flag("old_unicast_checksum"),
    });
    nodes
}

fn announcing(announcing: &Announcing) -> [Node; 6] {
    [
        Node::seconds("garp_master_delay", announcing.delay),
        Node::one("garp_master_repeat", announcing.repeat),
        Node::seconds("garp_lower_prio_delay", announcing.lower_prio_delay),
        Node::one("garp_lower_prio_repeat", announcing.lower_prio_repeat),
        Node::seconds("garp_master_refresh", announcing.refresh),
        Node::one("garp_master_refresh_repeat", announcing.refresh_repeat),
    ]
}

/// Options and their values behind a first word.
struct Line(Vec<String>);

impl Line {
    fn option(mut self, name: &str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| [name.to_owned(), value.to_string()]).into_iter().flatten());
        self
    }

    fn word(mut self, word: Option<&str>) -> Self {
        self.0.extend(word.map(str::to_owned));
        self
    }

    fn node(self, first: String) -> Node {
        Node::new(first, self.0)
    }
}

fn prefixed((address, length): (IpAddr, u8)) -> String {
    format!("{address}/{length}")
}

fn address(address: &VirtualAddress) -> Node {
    let VirtualAddress { address, prefix, dev, label, scope, broadcast } = address;
    let broadcast = broadcast.map(|broadcast| match broadcast {
        Broadcast::Computed => "+".to_owned(),
        Broadcast::Address(address) => address.to_string(),
    });
    let first = prefix.map_or_else(|| address.to_string(), |length| prefixed((*address, length)));
    let line = Line(Vec::new()).option("brd", broadcast).option("dev", dev.as_ref());
    line.option("scope", scope.map(|scope| scope.0)).option("label", label.as_ref()).node(first)
}

fn route(route: &VirtualRoute) -> Node {
    let kind = match route.kind {
        RouteKind::Unicast => None,
        RouteKind::Blackhole => Some("blackhole"),
        RouteKind::Unreachable => Some("unreachable"),
        RouteKind::Prohibit => Some("prohibit"),
    };
    let destination = prefixed(route.destination);
    let (first, rest) = match kind {
        Some(kind) => (kind.to_owned(), vec![destination]),
        None => (destination, Vec::new()),
    };
    let line = Line(rest).option("via", route.via).option("dev", route.dev.as_ref());
    let line = line.option("src", route.source).option("table", route.table).option("metric", route.metric);
    let line = line.option("scope", route.scope.map(|scope| scope.0));
    line.word(route.onlink.then_some("onlink")).node(first).at(route.span)
}

/// A rule without prefixes says its family where it is not that of the instance.
fn rule(rule: &VirtualRule, family: Family) -> Node {
    let is_told = rule.from.is_some() || rule.to.is_some() || rule.family == family;
    let family = match rule.family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    };
    let mark = rule.fwmark.map(|(mark, mask)| format!("{mark:#x}/{mask:#x}"));
    let line = Line(Vec::new()).word((!is_told).then_some(family));
    let line = line.option("from", rule.from.map(prefixed)).option("to", rule.to.map(prefixed));
    let line = line.option("iif", rule.iif.as_ref()).option("oif", rule.oif.as_ref());
    let line = line.option("fwmark", mark).option("preference", rule.preference);
    let mut words = line.option("table", Some(rule.table)).0.into_iter();
    let first = words.next().unwrap_or_default();
    Line(words.collect()).node(first).at(rule.span)
}

fn tracks(tracks: &Tracks) -> impl Iterator<Item = Node> {
    let line = |track: &Track| {
        // One that is defined with more than a line may say is not said again.
        let said = (track.weight.abs() <= FILE_WEIGHT).then_some(track.weight);
        let line = Line(Vec::new()).option("weight", said);
        let usual = said.is_none().then_some("noreverse");
        line.word(if track.reverse { Some("reverse") } else { usual }).node(track.name.clone())
    };
    let lists = [
        ("track_interface", &tracks.interfaces),
        ("track_script", &tracks.scripts),
        ("track_file", &tracks.files),
        ("track_process", &tracks.processes),
    ];
    lists.into_iter().filter_map(move |(keyword, list)| Node::list(keyword, list.iter().map(line).collect()))
}

fn notify(notify: &Notify) -> impl Iterator<Item = Node> {
    let commands = [
        ("notify_master", &notify.master),
        ("notify_backup", &notify.backup),
        ("notify_fault", &notify.fault),
        ("notify_stop", &notify.stop),
        ("notify", &notify.any),
    ];
    let commands = commands.into_iter().filter_map(|(keyword, said)| command(keyword, said.as_ref()));
    commands.chain([Node::switch("notify_priority_changes", notify.priority_changes)])
}

pub(super) fn command(keyword: &str, command: Option<&Command>) -> Option<Node> {
    Some(Node::new(keyword, quote::command(command?)))
}

fn group(group: &SyncGroup) -> Node {
    let mut body: Vec<_> =
        Node::list("group", group.members.iter().map(Node::flag).collect()).into_iter().collect();
    body.push(Node::switch("sync_group_tracking_weight", group.tracking_weight));
    body.extend(tracks(&group.tracks));
    body.extend(notify(&group.notify));
    body.push(Node::maybe_switch("smtp_alert", group.smtp_alert));
    Node::one("vrrp_sync_group", &group.name).at(group.span).with(body)
}
