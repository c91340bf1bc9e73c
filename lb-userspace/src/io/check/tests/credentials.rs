//! What is shown to servers that want a certificate, and files that are none.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::http::{of, page};
use super::{next, of as spec_of, start};
use crate::config::model::check::{HttpProbe, Probe, Tls};
use crate::config::{Config, parse};
use crate::health::Verdict;
use crate::io::check::{CheckSpec, Credentials, VrrpGlobals};

const SSL_GET: &str = "virtual_server 10.0.0.1 443 {\n lb_kind DR\n real_server 10.0.0.2 443 {\n SSL_GET {\n \
                       url {\n path /\n }\n }\n }\n}\n";

/// An authority with a certificate of its own and one for a client, in files.
struct Authority {
    files: tempfile::TempDir,
    ca: rcgen::Certificate,
    client_key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let (ca_key, client_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::from_params(&params, &ca_key);
        let client = CertificateParams::new(vec!["lvs1".to_owned()]).unwrap();
        let client = client.signed_by(&client_key, &issuer).unwrap();
        let made = Self { files, ca, client_key };
        made.write("ca", &pem("CERTIFICATE", made.ca.der()));
        made.write("certificate", &pem("CERTIFICATE", client.der()));
        made.write("key", &pem("PRIVATE KEY", made.client_key.serialized_der()));
        made
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// What is read of an `SSL` block with these of its files.
    fn load(&self, names: &[&str]) -> Result<Credentials, String> {
        let lines: Vec<_> =
            names.iter().map(|name| format!(" {name} {}", self.path(name).display())).collect();
        let lines = lines.join("\n");
        load(&format!("SSL {{\n{lines}\n}}\n{SSL_GET}"))
    }

    /// A server that speaks with nobody but clients of this authority, and has a certificate of nobody.
    async fn serve(&self) -> SocketAddr {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nabc").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        address
    }
}

fn load(text: &str) -> Result<Credentials, String> {
    let config: Config = parse("t", text).config.expect("a configuration");
    Credentials::load(&config, &config).map_err(|error| format!("{error:#}"))
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for bytes in der.chunks(3) {
        let word =
            (0..3).fold(0_u32, |word, at| (word << 8) | u32::from(bytes.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= bytes.len() { char::from(letter) } else { '=' });
        }
    }
    text + &format!("\n-----END {label}-----\n")
}

fn ssl_get(id: u32, address: SocketAddr) -> CheckSpec {
    let tls = Some(Tls { sni: false, compliant: true });
    spec_of(id, Probe::Http(HttpProbe { tls, ..of(address, page()) }))
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_is_shown_the_one_there_is_now() {
    let authority = Authority::new();
    let address = authority.serve().await;
    let (checks, mut verdicts) = start();
    checks.set(vec![ssl_get(1, address)], &VrrpGlobals::default());
    let (_, Verdict::Down { reason }) = next(&mut verdicts).await else { panic!("up without a certificate") };
    assert!(reason.contains("CertificateRequired"), "{reason}");
    // The check goes on with what is shown from then on: it says what changed and nothing else.
    checks.show(authority.load(&["certificate", "key"]).unwrap());
    assert_eq!(next(&mut verdicts).await, (1, Verdict::Up));
    // Another authority's certificate is shown, and refused.
    checks.show(Authority::new().load(&["certificate", "key"]).unwrap());
    let (1, Verdict::Down { .. }) = next(&mut verdicts).await else { panic!("up with another certificate") };
    // The server's own certificate is compared with nothing.
    checks.show(authority.load(&["ca", "certificate", "key"]).unwrap());
    assert_eq!(next(&mut verdicts).await, (1, Verdict::Up));
}

#[test]
fn files_are_what_they_are_to_be() {
    let refused = |change: &dyn Fn(&Authority), names: &[&str]| {
        let authority = Authority::new();
        change(&authority);
        let error = authority.load(names).expect_err("it is refused");
        error.replace(&format!("{}/", authority.files.path().display()), "")
    };
    let all = ["ca", "certificate", "key"];
    let without =
        |name: &'static str| move |authority: &Authority| fs::remove_file(authority.path(name)).unwrap();
    let with =
        |name: &'static str, text: &'static str| move |authority: &Authority| authority.write(name, text);
    let missing = "of the `SSL` block cannot be read: No such file or directory (os error 2)";
    assert_eq!(refused(&without("ca"), &all), format!("the certificates ca {missing}"));
    assert_eq!(refused(&without("certificate"), &all), format!("the certificate certificate {missing}"));
    assert_eq!(refused(&without("key"), &all), format!("the key key {missing}"));
    assert!(refused(&with("ca", "rubbish"), &all).starts_with("ca of the `SSL` block has no certificate"));
    assert!(refused(&with("key", "rubbish"), &all).starts_with("key of the `SSL` block is not PEM: "));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(
        refused(&with("certificate", broken), &all)
            .starts_with("certificate of the `SSL` block is not PEM: ")
    );
    // A key that lost its line breaks is not told to anybody.
    let lost = "-----BEGIN PRIVATE KEY-----MIISECRET-----END PRIVATE KEY-----";
    let said = refused(&with("key", lost), &all);
    assert!(said.starts_with("key of the `SSL` block is not PEM: "), "{said}");
    assert!(!said.contains("SECRET") && !said.contains("83, 69, 67"), "{said}");
    for encrypted in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    ] {
        let text: &'static str = encrypted;
        let said = refused(&with("key", text), &all);
        assert!(said.starts_with("the key key of the `SSL` block is encrypted: decrypt it"), "{said}");
    }
    let of_another = |authority: &Authority| {
        fs::copy(Authority::new().path("key"), authority.path("key")).unwrap();
    };
    assert_eq!(refused(&of_another, &all), "the key key of the `SSL` block is not that of the certificate");
}

#[test]
fn files_nobody_needs_are_not_read() {
    assert!(load("SSL {\n ca /nowhere/ca\n}\n").is_ok(), "no check speaks TLS");
    assert!(load(&format!("SSL {{\n ca /nowhere/ca\n}}\n{SSL_GET}")).is_err());
    assert!(load(SSL_GET).is_ok() && Authority::new().load(&["certificate"]).is_ok());
    assert!(!Path::new("/nowhere").exists());
}
