//! Who may come in, and by which way: a token, and certificates on both sides (mutual TLS).

use crate::files;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

/// Least number of bytes of a token.
const LEAST: usize = 16;
/// What the key that goes over the wire is derived for.
const PURPOSE: &str = "ioriot 2026-11-30 token of a server of replays";
/// Header with the key.
const HEADER: &str = "authorization";
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the other side is asked whether it is still there, where nothing else is said.
pub const ASK: Duration = Duration::from_secs(2);
/// How long it may take to answer.
pub const ANSWER: Duration = Duration::from_secs(3);
/// Bytes that may be under way.
pub const WINDOW: u32 = 4 << 20;

/// A directory with the files of one machine, in PEM: `cert.pem`, its certificate and those between it and the authority; `key.pem`, the
/// private key of that; `ca.pem`, the authority by which the certificate of the other side must be signed.
#[derive(Clone, Debug)]
pub struct Certificates(pub PathBuf);

/// A secret that servers and coordinators know.
#[derive(Clone)]
pub struct Token(blake3::Hash);

impl Token {
    /// Reads the secret from a file; white space around it does not count.
    ///
    /// # Errors
    /// When it cannot be read, or is so short that it could be guessed.
    pub fn read(file: &Path) -> Result<Token> {
        let secret = files::given(file).with_context(|| format!("cannot read the token in {}", file.display()))?;
        let secret = secret.trim_ascii();
        ensure!(secret.len() >= LEAST, "the token in {} has {} bytes: {LEAST} at least", file.display(), secret.len());
        Ok(Token(blake3::Hash::from(blake3::derive_key(PURPOSE, secret))))
    }

    /// Puts the key into the headers of a call.
    ///
    /// # Errors
    /// Never: hexadecimal digits are no odd characters.
    pub fn show(&self, headers: &mut MetadataMap) -> Result<()> {
        headers.insert(HEADER, format!("Bearer {}", self.0.to_hex()).parse()?);
        Ok(())
    }

    /// Refuses a call without the key. All of it is compared, whatever differs first.
    ///
    /// # Errors
    /// When it is missing or another one.
    pub fn demand(&self, headers: &MetadataMap) -> Result<(), Status> {
        let said = headers.get(HEADER).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match said.and_then(|key| blake3::Hash::from_hex(key).ok()) {
            Some(key) if key == self.0 => Ok(()),
            _ => Err(Status::unauthenticated("the token is missing or another one (--token FILE)")),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Refuses to listen where others could come in, without certificates.
///
/// # Errors
/// When the address is not of the loopback device and there are none.
pub fn may_listen(bind: SocketAddr, certificates: Option<&Certificates>) -> Result<()> {
    ensure!(
        bind.ip().is_loopback() || certificates.is_some(),
        "{bind} is open to others: give certificates by which both sides know each other (--tls DIR; docs/SERVE.md)"
    );
    Ok(())
}

fn pem(file: &Path) -> Result<Vec<u8>> {
    files::given(file).with_context(|| format!("cannot read {}", file.display()))
}

fn identity(certificates: &Certificates) -> Result<Identity> {
    Ok(Identity::from_pem(pem(&certificates.0.join("cert.pem"))?, pem(&certificates.0.join("key.pem"))?))
}

/// How a server proves who it is, and demands that others do.
///
/// # Errors
/// When a file cannot be read.
pub fn server(certificates: &Certificates) -> Result<ServerTlsConfig> {
    Ok(ServerTlsConfig::new()
        .identity(identity(certificates)?)
        .client_ca_root(Certificate::from_pem(pem(&certificates.0.join("ca.pem"))?))
        .timeout(CONNECT))
}

/// Connects to a server at `HOST:PORT`.
///
/// # Errors
/// When nobody answers there, or the server is another one than its certificate says; or without certificates, when it is not on this
/// machine: the token would go over the network for everybody to read.
pub async fn connect(address: &str, certificates: Option<&Certificates>) -> Result<Channel> {
    let host = address.rsplit_once(':').map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']'));
    let host = host.filter(|host| !host.is_empty()).with_context(|| format!("{address:?} is no HOST:PORT"))?;
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    ensure!(
        here || certificates.is_some(),
        "{address} is another machine: give certificates by which both sides know each other (--tls DIR; docs/SERVE.md)"
    );
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let endpoint =
        Endpoint::from_shared(format!("{scheme}://{address}")).with_context(|| format!("{address:?} is no HOST:PORT"))?;
    let mut endpoint = endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(ASK)
        .keep_alive_timeout(ANSWER)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    if let Some(certificates) = certificates {
        let ca = Certificate::from_pem(pem(&certificates.0.join("ca.pem"))?);
        endpoint =
            endpoint.tls_config(ClientTlsConfig::new().ca_certificate(ca).identity(identity(certificates)?).domain_name(host))?;
    }
    endpoint.connect().await.with_context(|| format!("nobody answers at {address}, or not as a server that has our certificates"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Result<Token> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), secret).unwrap();
        Token::read(&dir.path().join("token"))
    }

    #[test]
    fn only_the_same_token_opens() {
        let known = token("0123456789abcdef").unwrap();
        let mut headers = MetadataMap::new();
        assert!(known.demand(&headers).is_err());
        token("0123456789abcdeF").unwrap().show(&mut headers).unwrap();
        assert!(known.demand(&headers).is_err());
        token("\n0123456789abcdef\n").unwrap().show(&mut headers).unwrap();
        known.demand(&headers).unwrap();
        headers.insert(HEADER, "Bearer 0123456789abcdef".parse().unwrap());
        assert!(known.demand(&headers).is_err());
        token("short").unwrap_err();
        assert_eq!(format!("{known:?}"), "Token");
    }

    #[test]
    fn others_come_in_by_certificates_only() {
        let certificates = Certificates("certificates".into());
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        may_listen(at("127.0.0.1:0"), None).unwrap();
        may_listen(at("10.0.0.1:1"), Some(&certificates)).unwrap();
        assert!(may_listen(at("10.0.0.1:1"), None).is_err() && may_listen(at("0.0.0.0:1"), None).is_err());
    }
}
