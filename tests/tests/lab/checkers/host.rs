//! A real server with everything on it that checkers ask for.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lb_tests::Family;
use lb_tests::echo::UdpEcho;
use lb_tests::names::{Knowledge, Names};
use lb_tests::post::Post;
use lb_tests::rude::{Rude, Speech};
use lb_tests::server::RealServer;

use super::rows::Whose;

/// Where pages are offered, beside the usual ports.
const PAGES: [u16; 3] = [81, 82, 83];
const MAIL: u16 = 25;
const ECHOES: [u16; 2] = [7, 8];
/// Asks the server as HTTP 0.9 does, in one segment, and then a file. A shell is sooner begun than a client.
const ASK: &str = r#"#!/bin/bash
{ echo 'GET /health' >&3 && read -r answer <&3; } 3<>"/dev/tcp/$1/80" || exit 7
[[ $answer == ok ]] || exit 8
read -r code < "$2"
[[ $code != kill ]] || kill -9 $$
exit "$code"
"#;

/// A real server and what runs on it.
#[derive(Debug)]
pub(super) struct Host<'a> {
    pub(super) whose: Whose,
    server: &'a mut RealServer,
    dir: PathBuf,
    post: Post,
    names: Names,
    echoes: Vec<UdpEcho>,
    strangers: Vec<Rude>,
}

/// Writes the program of the `MISC_CHECK` of all hosts.
pub(super) fn write_program(dir: &Path) -> Result<()> {
    let path = dir.join("ask");
    fs::write(&path, ASK).with_context(|| path.display().to_string())?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
}

impl<'a> Host<'a> {
    /// Starts everything; its files are in `dir`.
    pub(super) fn open(server: &'a mut RealServer, dir: &Path, vips: [IpAddr; 2]) -> Result<Self> {
        let host = server.name().to_owned();
        let addresses = Family::BOTH.map(|family| server.address_in(family));
        let own = dir.join(format!("{host}.own"));
        let (post, names) = (Post::prepare(&own, &addresses)?, Names::prepare(&own, &addresses)?);
        // As many answers that a port is unreachable as there are questions; by itself a kernel gives one a second.
        for limit in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
            server.netns().sysctl(limit, "0")?;
        }
        server.nginx().listen_too(&PAGES)?;
        server.nginx().offer_tls()?;
        server.stop()?;
        let whose = Whose { host, addresses, vips, dir: dir.display().to_string() };
        let dir = dir.to_owned();
        let mut host = Self { whose, server, dir, post, names, echoes: Vec::new(), strangers: Vec::new() };
        host.write_files(["state: up\n", "abc"], "0", "0")?;
        host.write("status", "")?;
        host.start()?;
        Ok(host)
    }

    /// What its `FILE_CHECK` needs beside the check.
    pub(super) fn track_file(&self) -> String {
        let Whose { host, dir, .. } = &self.whose;
        format!("track_file {host} {{\n file {dir}/{host}.number\n}}\n")
    }

    /// Starts everything that listens.
    pub(super) fn start(&mut self) -> Result<()> {
        let netns = self.server.netns();
        self.post.start(netns)?;
        self.names.start(netns, Knowledge::All)?;
        self.mirror()?;
        self.server.start()
    }

    /// Stops it again.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.echoes.clear();
        self.names.stop()?;
        self.post.stop()?;
        self.server.stop()
    }

    /// Makes all answers others than they should be: in one way, or in another.
    pub(super) fn be_wrong(&mut self, other: bool) -> Result<()> {
        let address = self.whose.address(Family::V4);
        self.echoes.clear();
        let echo = if other { "zb" } else { "ac" };
        self.echo(|host, port| UdpEcho::start(host.server.netns(), (address, port), echo))?;
        self.names.stop()?;
        let knowledge = if other { Knowledge::NotTheZone } else { Knowledge::NotTheName };
        self.names.start(self.server.netns(), knowledge)?;
        self.post.stop()?;
        let greeting = if other { "421 later\r\n" } else { "554 no\r\n" };
        for address in self.whose.addresses {
            let speech = Speech { first: greeting.into(), ..Speech::default() };
            self.strangers.push(Rude::tcp(self.server.netns(), (address, MAIL), speech)?);
        }
        let status = self.server.nginx().uploaded("status");
        fs::remove_file(&status)?;
        if other {
            fs::create_dir(&status)?;
            self.write_files(["estate: upper\n", ""], "kill", "-1")
        } else {
            self.write_files(["state: down\n", "abd"], "1", "1")
        }
    }

    /// Makes all answers right again.
    pub(super) fn be_right(&mut self) -> Result<()> {
        self.echoes.clear();
        self.mirror()?;
        self.names.stop()?;
        self.names.start(self.server.netns(), Knowledge::All)?;
        self.strangers.clear();
        self.post.start(self.server.netns())?;
        let status = self.server.nginx().uploaded("status");
        if status.is_dir() {
            fs::remove_dir(&status)?;
        }
        self.write("status", "")?;
        self.write_files(["state: up\n", "abc"], "0", "0")
    }

    fn mirror(&mut self) -> Result<()> {
        let address = self.whose.address(Family::V4);
        self.echo(|host, port| UdpEcho::mirror(host.server.netns(), (address, port)))
    }

    fn echo(&mut self, start: impl Fn(&Self, u16) -> Result<UdpEcho>) -> Result<()> {
        self.echoes = ECHOES.iter().map(|port| start(self, *port)).collect::<Result<_>>()?;
        Ok(())
    }

    fn write_files(&self, [regex, digest]: [&str; 2], code: &str, number: &str) -> Result<()> {
        self.write("regex", regex)?;
        self.write("digest", digest)?;
        for (name, text) in [("code", code), ("number", number)] {
            put(&self.dir.join(format!("{}.{name}", self.whose.host)), &format!("{text}\n"))?;
        }
        Ok(())
    }

    fn write(&self, page: &str, text: &str) -> Result<()> {
        put(&self.server.nginx().uploaded(page), text)
    }
}

/// All at once: nobody reads a half of it.
fn put(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).with_context(|| draft.display().to_string())?;
    fs::rename(&draft, path).with_context(|| path.display().to_string())
}
