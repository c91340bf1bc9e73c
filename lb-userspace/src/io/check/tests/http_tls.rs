//! TLS probes: any certificate, the name that is told, and how a connection ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::http::{of, page};
use crate::config::model::check::{HttpProbe, Tls, Url};
use crate::io::check::Credentials;
use crate::io::check::http::probe;
use crate::io::check::probe::{Failure, Tools};

const LONG: Duration = Duration::from_secs(10);

/// How a server ends a connection.
#[derive(Clone, Copy)]
enum Ending {
    Said,
    Unsaid,
}

/// A server with a certificate that nobody vouches for; gives the name that it was told.
async fn serving(ending: Ending) -> (SocketAddr, tokio::task::JoinHandle<Option<String>>) {
    let made = rcgen::generate_simple_self_signed(vec!["other.example.com".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nabc").await.unwrap();
        stream.flush().await.unwrap();
        match ending {
            Ending::Said => stream.shutdown().await.unwrap(),
            Ending::Unsaid => stream.get_mut().0.shutdown().await.unwrap(),
        }
        name
    });
    (address, served)
}

fn over(address: SocketAddr, tls: Tls) -> HttpProbe {
    let url = Url { virtualhost: Some("www.example.com:8443".to_owned()), ..page() };
    HttpProbe { tls: Some(tls), ..of(address, url) }
}

#[tokio::test]
async fn any_certificate_will_do_and_the_name_is_told_where_it_is_wanted() {
    for (sni, told) in [(true, Some("www.example.com")), (false, None)] {
        let (address, served) = serving(Ending::Said).await;
        let http = over(address, Tls { sni, compliant: true });
        assert_eq!(probe(&http, 0, LONG, &Tools::default(), &Credentials::none().unwrap()).await, Ok(()));
        assert_eq!(served.await.unwrap().as_deref(), told);
    }
}

#[tokio::test]
async fn an_end_without_a_word_is_one_unless_that_is_asked_for() {
    for (compliant, passes) in [(false, true), (true, false)] {
        let (address, served) = serving(Ending::Unsaid).await;
        let http = over(address, Tls { sni: false, compliant });
        let said = probe(&http, 0, LONG, &Tools::default(), &Credentials::none().unwrap()).await;
        assert_eq!(said.is_ok(), passes, "{said:?}");
        served.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_with_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _reset = stream.read_to_end(&mut rest).await;
    });
    let http = over(address, Tls { sni: false, compliant: false });
    let Err(Failure::Server(reason)) =
        probe(&http, 0, LONG, &Tools::default(), &Credentials::none().unwrap()).await
    else {
        panic!("passed")
    };
    assert!(reason.starts_with("TLS handshake: "), "{reason}");
    served.await.unwrap();
}
