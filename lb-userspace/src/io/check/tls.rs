//! TLS for `SSL_GET`: any certificate will do, as for keepalived. A check asks whether a server answers, not who it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::credentials::Credentials;
use super::probe::Failure;
use crate::config::model::check::{HttpProbe, Tls, Url};

/// The handshake of a check.
pub(super) async fn connect(
    stream: TcpStream,
    http: &HttpProbe,
    url: &Url,
    tls: Tls,
    credentials: &Credentials,
) -> Result<(Closing, WriteHalf<TlsStream<TcpStream>>), Failure> {
    let host = url.virtualhost.as_deref().map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let name = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
    let name = name.unwrap_or_else(|| ServerName::from(http.endpoint.connect_ip));
    let connector = TlsConnector::from(credentials.client(tls.sni));
    let connected = connector.connect(name, stream).await;
    let stream = connected.map_err(|error| Failure::from(format!("TLS handshake: {error}")))?;
    let (stream, writing) = split(stream);
    Ok((Closing { stream, must_say_so: tls.compliant }, writing))
}

/// What does the arithmetic.
pub(super) fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// How TLS is spoken: with the server's name in the handshake or without, and with what is shown to servers that ask.
pub(super) fn config(sni: bool, identity: Option<Arc<SingleCertAndKey>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(provider());
    let verifier = Anyone(Arc::clone(&provider));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = sni;
    // Each probe is a client of its own.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Takes every certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What comes from a server, whose end counts as one though TLS has not said so, which many servers do not.
pub(super) struct Closing {
    stream: ReadHalf<TlsStream<TcpStream>>,
    must_say_so: bool,
}

impl AsyncRead for Closing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof && !self.must_say_so => {
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}
