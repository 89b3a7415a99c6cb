//! Who may come in, and by which way: a token, and certificates on both sides (mutual TLS).

use crate::peers::{self, Certificates, Token};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

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

/// Puts the key into the headers of a call.
///
/// # Errors
/// Never: hexadecimal digits are no odd characters.
pub fn show(token: &Token, headers: &mut MetadataMap) -> Result<()> {
    headers.insert(HEADER, format!("Bearer {}", token.shown()).parse()?);
    Ok(())
}

/// Refuses a call without the key; the connection of one that has it may stay.
///
/// # Errors
/// When it is missing or another one.
pub fn demand<T>(token: &Token, request: &Request<T>) -> Result<(), Status> {
    let shown = request.metadata().get(HEADER).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !shown.is_some_and(|shown| token.is(shown)) {
        return Err(Status::unauthenticated("the token is missing or another one (--token FILE)"));
    }
    peers::admit(request.extensions());
    Ok(())
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
    let endpoint = Endpoint::from_shared(format!("http://{address}")).with_context(|| format!("{address:?} is no HOST:PORT"))?;
    let endpoint = match certificates {
        Some(certificates) => certificates.over(&endpoint)?,
        None => endpoint,
    };
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(ASK)
        .keep_alive_timeout(ANSWER)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    endpoint.connect().await.with_context(|| format!("nobody answers at {address}, or not as a server that has our certificates"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Purpose;

    #[test]
    fn only_the_token_opens() {
        let dir = tempfile::tempdir().unwrap();
        let token = |secret: &str| {
            std::fs::write(dir.path().join("token"), secret).unwrap();
            Token::read(&dir.path().join("token"), Purpose::Replays).unwrap()
        };
        let known = token("0123456789abcdef");
        let mut request = Request::new(());
        assert!(demand(&known, &request).is_err());
        show(&token("0123456789abcdeF"), request.metadata_mut()).unwrap();
        assert!(demand(&known, &request).is_err());
        show(&token("0123456789abcdef"), request.metadata_mut()).unwrap();
        demand(&known, &request).unwrap();
        request.metadata_mut().insert(HEADER, known.shown().parse().unwrap());
        assert!(demand(&known, &request).is_err());
    }

    #[test]
    fn others_come_in_by_certificates_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let certificates = Certificates::read(dir.path()).unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        may_listen(at("127.0.0.1:0"), None).unwrap();
        may_listen(at("10.0.0.1:1"), Some(&certificates)).unwrap();
        assert!(may_listen(at("10.0.0.1:1"), None).is_err() && may_listen(at("0.0.0.0:1"), None).is_err());
    }
}
