//! How the machines of a cluster talk: with a token that all of them know, and through connections that notice when the other side is
//! gone.

use super::tls::Tls;
use crate::files;
use anyhow::{Context, Result, ensure};
use ballista_core::extension::EndpointOverrideFn;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

/// Longest message, bytes: a plan with its rows and the configuration of the model, or the outcome of a task.
pub const MESSAGE: usize = 64 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the other side is asked whether it is still there, where nothing else is said, and how long it may take to answer.
const ALIVE: Duration = Duration::from_secs(5);
/// Least number of bytes of a token.
const LEAST: usize = 16;
/// What the key that goes over the wire is derived for.
const PURPOSE: &str = "ioriot 2026-11-30 token of a cluster";
/// What stands before it.
const PREFIX: &str = "ioriot-";

/// A secret that all of a cluster know.
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

    /// The key as it goes over the wire.
    fn agent(&self) -> String {
        format!("{PREFIX}{}", self.0.to_hex())
    }

    /// Is this the key of a request? All of it is compared, whatever differs first.
    fn is_in(&self, metadata: &MetadataMap) -> bool {
        let agent = metadata.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let words = agent.split(' ').filter_map(|word| word.strip_prefix(PREFIX));
        let mut keys = words.filter_map(|key| blake3::Hash::from_hex(key).ok());
        keys.next().is_some_and(|key| key == self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What all of a cluster have.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// File with the secret that all of them know.
    pub token: Option<PathBuf>,
    /// Directory with certificates ([`Tls::read`]).
    pub tls: Option<PathBuf>,
}

/// How one talks to the others: with the token, and by TLS, where they are given.
///
/// It goes as the user agent of a connection, the one header that Ballista lets a caller set wherever it connects itself.
#[derive(Clone, Debug, Default)]
pub struct Link {
    token: Option<Token>,
    tls: Option<Tls>,
}

impl Link {
    /// By what all of the cluster have.
    ///
    /// # Errors
    /// As [`Token::read`] and [`Tls::read`].
    pub fn by(secrets: &Secrets) -> Result<Link> {
        let token = secrets.token.as_deref().map(Token::read).transpose()?;
        Ok(Link { token, tls: secrets.tls.as_deref().map(Tls::read).transpose()? })
    }

    /// Refuses to serve others than this machine without a token, and in the clear unless told so.
    ///
    /// # Errors
    /// When the address is not of the loopback device, and no token, or neither certificates nor the word for none were given.
    pub fn may_serve(&self, bind: SocketAddr, exposure: Exposure) -> Result<()> {
        if bind.ip().is_loopback() {
            return Ok(());
        }
        ensure!(!bind.ip().is_unspecified(), "{bind} is no address that others could be told: name one of this machine's own");
        ensure!(self.token.is_some(), "{bind} is open to others: give all of the cluster the same token (--token FILE)");
        ensure!(
            self.tls.is_some() || exposure == Exposure::Clear,
            "what goes over the network would not be encrypted, the token neither: give certificates (--tls DIR), or say --insecure \
             where the network between the machines is your own (docs/CLUSTER.md)"
        );
        Ok(())
    }

    /// Sets up a connection.
    ///
    /// # Errors
    /// When the address cannot be one.
    fn set(&self, endpoint: Endpoint) -> Result<Endpoint, tonic::transport::Error> {
        let endpoint = match &self.tls {
            Some(tls) => tls.over(&endpoint)?,
            None => endpoint,
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(ALIVE))
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .keep_alive_while_idle(true);
        match &self.token {
            Some(token) => endpoint.user_agent(token.agent()),
            None => Ok(endpoint),
        }
    }

    /// What Ballista calls for each connection that it makes.
    pub fn endpoints(&self) -> EndpointOverrideFn {
        let link = self.clone();
        Arc::new(move |endpoint| Ok(link.set(endpoint)?))
    }

    /// What a server is made of.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn server(&self) -> Result<Server> {
        match &self.tls {
            Some(tls) => tls.serve(Server::builder()),
            None => Ok(Server::builder()),
        }
    }

    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(&self, address: &str, patience: Duration) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.with_context(|| format!("{address:?} is no HOST:PORT"))?;
        self.set(endpoint)?.timeout(patience).connect().await.with_context(|| format!("nobody answers at {address}"))
    }
}

impl Interceptor for Link {
    /// Refuses a request without the token.
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match &self.token {
            Some(token) if !token.is_in(request.metadata()) => {
                Err(Status::unauthenticated("the token is missing or another one (--token FILE)"))
            }
            _ => Ok(request),
        }
    }
}

/// How a server may serve others than this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// By TLS only.
    Encrypted,
    /// In the clear, too.
    Clear,
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
        let secret = "0123456789abcdef";
        let known = token(secret).unwrap();
        let request = |agent: &str| {
            let mut request = Request::new(());
            request.metadata_mut().insert("user-agent", agent.parse().unwrap());
            request
        };
        let other = token("0123456789abcdeF").unwrap();
        let mut door = Link { token: Some(known.clone()), tls: None };
        door.call(request(&format!("{} tonic/0.14", token(&format!("\n{secret}\n")).unwrap().agent()))).unwrap();
        for agent in [String::new(), "tonic/0.14".into(), other.agent(), known.agent()[..20].into(), PREFIX.into(), secret.into()]
        {
            assert!(door.call(request(&agent)).is_err(), "{agent}");
        }
        // A second key does not help one that is wrong.
        assert!(door.call(request(&format!("{} {}", other.agent(), known.agent()))).is_err());
        assert!(Link::default().call(request("")).is_ok());
        assert!(!format!("{door:?}").contains(&known.0.to_hex()[..8]));
        token("short").unwrap_err();
    }

    #[test]
    fn others_are_served_only_when_told_and_with_a_token() {
        let with = Link { token: Some(token("0123456789abcdef").unwrap()), tls: None };
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        Link::default().may_serve(address("127.0.0.1:0"), Exposure::Encrypted).unwrap();
        Link::default().may_serve(address("[::1]:0"), Exposure::Encrypted).unwrap();
        with.may_serve(address("10.0.0.1:1"), Exposure::Clear).unwrap();
        for (link, bind, exposure, says) in [
            (Link::default(), "10.0.0.1:1", Exposure::Clear, "--token"),
            (with.clone(), "10.0.0.1:1", Exposure::Encrypted, "--insecure"),
            (with.clone(), "0.0.0.0:1", Exposure::Clear, "name one"),
        ] {
            let error = link.may_serve(address(bind), exposure).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
