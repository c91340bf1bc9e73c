//! nginx as a real server: foreground, one process, everything it writes in a directory of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use crate::http;
use crate::netns::Netns;
use crate::process::{self, Running};

/// Where uploads go, in its directory and to clients.
const UPLOADS: &str = "uploads";
const BOUND: Duration = Duration::from_secs(10);

/// A web server that answers `/` with its name and `/big` with a file, and takes files below `/uploads`.
#[derive(Debug)]
pub struct Nginx {
    name: String,
    dir: PathBuf,
    running: Option<Running>,
}

impl Nginx {
    /// Prepares `dir` for a server called `name`; `big` is the file behind `/big`.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn prepare(name: &str, dir: &Path, big: &Path) -> Result<Self> {
        fs::create_dir_all(dir.join(UPLOADS)).with_context(|| dir.display().to_string())?;
        fs::write(dir.join("nginx.conf"), configuration(name, dir, big))?;
        Ok(Self { name: name.to_owned(), dir: dir.to_owned(), running: None })
    }

    /// Lets it speak TLS on port 443 from its next start on, with a certificate of its own making.
    ///
    /// # Errors
    /// When openssl makes none.
    pub fn offer_tls(&self) -> Result<()> {
        let [key, certificate] = ["tls.key", "tls.pem"].map(|file| self.dir.join(file));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl
            .args(["-subj", "/CN=nobody", "-days", "1", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        process::output(&mut openssl)?;
        let (dir, key, certificate) = (self.dir.display(), key.display(), certificate.display());
        let server = format!(
            "server {{
    listen 443 ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location /{UPLOADS}/ {{ root {dir}; }}
}}
"
        );
        let path = self.dir.join("tls.server");
        fs::write(&path, server).with_context(|| path.display().to_string())
    }

    /// Lets it serve what was uploaded on more ports from its next start on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn listen_too(&self, ports: &[u16]) -> Result<()> {
        let hosts: &[&str] = if has_ipv6() { &["", "[::]:"] } else { &[""] };
        let listen =
            |port: &u16| hosts.iter().map(|host| format!("listen {host}{port};")).collect::<Vec<_>>();
        let listen: Vec<String> = ports.iter().flat_map(listen).collect();
        let (listen, dir) = (listen.join(" "), self.dir.display());
        let path = self.dir.join("more.server");
        fs::write(&path, format!("server {{\n    {listen}\n    location /{UPLOADS}/ {{ root {dir}; }}\n}}\n"))
            .with_context(|| path.display().to_string())
    }

    /// Starts it inside `netns` and waits until it accepts connections.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&mut self, netns: &Netns) -> Result<()> {
        let mut command = netns.command("nginx")?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("output.log"))?;
        command.arg("-p").arg(&self.dir).arg("-c").arg(self.dir.join("nginx.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let running = self.running.insert(Running::start(&self.name, &mut command)?);
        let own = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
        let get = || netns.enter(|| http::get(own.into(), "/health"));
        running.ready(BOUND, get).with_context(|| self.log())
    }

    /// Stops it at once, open connections included.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.stop(Signal::SIGTERM, BOUND)?;
        }
        Ok(())
    }

    /// The name it answers with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many requests for `/` its access log shows.
    pub fn served(&self) -> usize {
        let log = fs::read_to_string(self.dir.join("access.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("\"GET / HTTP")).count()
    }

    /// What a client uploaded as `/uploads/NAME`.
    pub fn uploaded(&self, name: &str) -> PathBuf {
        self.dir.join(UPLOADS).join(name)
    }

    /// What it printed and logged as errors.
    pub fn log(&self) -> String {
        ["output.log", "error.log"]
            .map(|file| fs::read_to_string(self.dir.join(file)).unwrap_or_default())
            .concat()
    }
}

fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

fn configuration(name: &str, dir: &Path, big: &Path) -> String {
    let listen = if has_ipv6() { " listen [::]:80 backlog=4096;" } else { "" };
    let (dir, big) = (dir.display(), big.display());
    // One process without a master: nothing is left behind when it is killed.
    format!(
        "daemon off;
master_process off;
worker_rlimit_nofile 8192;
pid {dir}/nginx.pid;
error_log {dir}/error.log notice;
events {{ worker_connections 4096; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    default_type text/plain;
    keepalive_timeout 0;
    include {dir}/*.server;
    server {{
        listen 80 backlog=4096;{listen}
        location = / {{ return 200 \"{name}\\n\"; }}
        location = /health {{ access_log off; return 200 \"ok\\n\"; }}
        location = /big {{ alias {big}; }}
        location /{UPLOADS}/ {{ root {dir}; dav_methods PUT; client_max_body_size 0; }}
    }}
}}
"
    )
}
